"""Rounding in training: on the grids that a runtime has, in the places where it has them, gradients passing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.layers.fake_quantize import FakeQuantization, round_maps, round_weight


class Residual(nn.Module):
    """A convolution of each kind of place: weights, a sum of two maps, a constant a channel, a pool, the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm, self.shift = nn.BatchNorm2d(8), nn.Parameter(torch.randn(1, 8, 1, 1))
        self.last = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        x = x + self.norm(self.second(x))
        x = (x + self.shift).relu()
        gaze: Tensor = self.last(x.mean((2, 3)))
        return gaze


@pytest.fixture
def network() -> Residual:
    torch.manual_seed(0)
    return Residual().eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("low", "high"), [(-1.3, 2.1), (0.0, 5.0), (0.4, 2.0), (-3.0, -1.0), (0.0, 0.0)])
def test_maps_lie_on_256_steps_that_hold_zero(low: float, high: float) -> None:
    values = torch.linspace(-5, 6, 4001)
    rounded = round_maps(values, torch.tensor(low), torch.tensor(high)).numpy()
    low, high = min(low, 0.0), max(high, 0.0)
    assert len(np.unique(rounded)) <= 256
    assert round_maps(torch.zeros(1), torch.tensor(low), torch.tensor(high)) == 0
    inside = np.clip(values.numpy(), low, high)
    step = (high - low) / 255
    assert np.abs(rounded - inside).max() <= step * (1 + 1e-3) + 1e-9  # half a step, and half of one for zero's place


@pytest.mark.parametrize("bits", [8, 6, 4])
def test_weights_lie_on_a_grid_a_channel(bits: int) -> None:
    weight = torch.randn(5, 3, 3, 3) * torch.tensor([1.0, 10, 0.1, 1e-3, 0]).view(-1, 1, 1, 1)
    rounded = round_weight(weight, bits)
    most = 2 ** (bits - 1) - 1
    for row, exact in zip(rounded, weight, strict=True):
        step = exact.abs().max() / most
        assert ((row - exact).abs().max() <= step / 2 * (1 + 1e-5)).item()
        if step:
            assert torch.allclose((row / step).round(), row / step, atol=1e-3)
    assert torch.allclose(round_weight(rounded, bits), rounded)  # what lies on the grid stays


def test_places_are_what_a_runtime_rounds(network: Residual, images: Tensor) -> None:
    rounding = FakeQuantization(8)
    rounding.find(network, [images[:2], images[2:]])
    assert rounding.kinds == ["weighted", "weighted", "sum", "pool", "weighted"]
    table = rounding.table()
    assert [len(place["reads"]) for place in table] == [1, 1, 2, 1, 1]
    assert table[0]["reads"][0] == pytest.approx([images.min().item(), images.max().item()])
    with torch.no_grad():
        plain = network(images)
        with rounding:
            rounded = network(images)
        assert torch.equal(network(images), plain)  # outside nothing is rounded
    assert 0 < (rounded - plain).abs().max() < 0.1


def test_a_network_by_hand(network: Residual, images: Tensor) -> None:
    """The context computes what rounding each tensor by hand does."""
    rounding = FakeQuantization(4)
    rounding.find(network, [images])
    reads: Iterator[Tensor] = (torch.tensor(pair) for place in rounding.table() for pair in place["reads"])

    def maps(x: Tensor) -> Tensor:
        return round_maps(x, *next(reads))

    with torch.no_grad():
        x = F.conv2d(maps(images), round_weight(network.first.weight, 4), network.first.bias, padding=1).relu()
        y = network.norm(F.conv2d(maps(x), round_weight(network.second.weight, 4), padding=1))
        x = (maps(x) + maps(y) + network.shift).relu()
        expected = F.linear(maps(maps(x).mean((2, 3))), network.last.weight, network.last.bias)
        with rounding:
            assert torch.equal(network(images), expected)


def test_gradients_pass_and_ranges_follow(network: Residual, images: Tensor) -> None:
    rounding = FakeQuantization(8)
    rounding.find(network, [images])
    before = rounding.ranges.clone()
    for _ in range(50):
        with rounding.following():
            gaze = network(2 * images)
    gaze.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    assert rounding.ranges[0, 0] == pytest.approx(2 * before[0, 0], rel=0.1)
    other = FakeQuantization(8)
    other.load_state(rounding.state())
    with torch.no_grad(), rounding:
        expected = network(images)
    with torch.no_grad(), other:
        assert torch.equal(network(images), expected)


def test_settled_weights_answer_the_same(network: Residual, images: Tensor) -> None:
    rounding = FakeQuantization(4)
    rounding.find(network, [images])
    last = network.last.weight.clone()
    with torch.no_grad(), rounding:
        expected = network(images)
    rounding.settle(network, torch.zeros(1, 3, 8, 8))
    assert torch.equal(network.last.weight, last)
    assert len(torch.unique(network.second.weight[0])) <= 15
    with torch.no_grad(), rounding:
        assert torch.allclose(network(images), expected, atol=1e-6)
