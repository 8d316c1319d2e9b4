"""The mixed convolution takes wide kernels one by one in training: the same function as side by side."""

import copy

import pytest
import torch

from gazenas.ops import mixconv
from gazenas.ops.mixconv import MixConv


def step(path: MixConv, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output, gradients and buffers of one training step."""
    x = x.clone().requires_grad_()
    out = path(x)
    out.pow(3).sum().backward()
    assert x.grad is not None
    gradients = {name: parameter.grad for name, parameter in path.named_parameters() if parameter.grad is not None}
    assert set(gradients) == {name for name, _ in path.named_parameters()}
    return {"out": out, "x": x.grad} | gradients | dict(path.named_buffers())


def build(stride: int) -> MixConv:
    torch.manual_seed(0)
    path = MixConv(
        in_channels=5, out_channels=7, stride=stride, widths={"3": 6, "5": 0, "7": 4, "9": 5}, importance=True
    )
    with torch.no_grad():
        for norm in (path.expand_norm, path.depthwise_norm, path.norm):
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()
        for alpha in path.alphas.values():
            alpha.uniform_(-1, 1)
    return path.double()


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("stride", [1, 2])
def test_one_by_one_is_the_same_function(stride: int, momentum: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(4, 5, 9, 8, dtype=torch.float64)
    results = []
    for large in (2**60, 0):
        monkeypatch.setattr(mixconv, "LARGE", large)
        monkeypatch.setattr(mixconv, "WIDE", 1)
        path = build(stride)
        path.expand_norm.momentum = path.depthwise_norm.momentum = momentum
        assert path._is_wide(x) == (large == 0)
        step(path, x + 1)
        path.zero_grad()
        results.append(step(path, x))
    for name, expected in results[0].items():
        torch.testing.assert_close(results[1][name], expected, atol=1e-9, rtol=1e-9, msg=name)


def test_at_the_size_of_a_training_step_it_is_as_exact_as_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    path = MixConv(in_channels=20, out_channels=20, stride=1, widths={"3": 40, "5": 40, "7": 40}, importance=True)
    x = torch.randn(72, 20, 16, 16).to(memory_format=torch.channels_last)
    assert path._is_wide(x)
    found = step(copy.deepcopy(path), x)
    exact = step(copy.deepcopy(path).double(), x.double())
    monkeypatch.setattr(mixconv, "LARGE", 2**60)
    plain = step(path, x)
    for name, expected in exact.items():
        errors = [float((each[name] - expected).detach().double().norm()) for each in (found, plain)]
        assert errors[0] < 3 * errors[1] + 1e-6 * float(expected.detach().double().norm()), (name, errors)


def test_frozen_statistics_are_used_and_stay() -> None:
    torch.manual_seed(0)
    path = MixConv(in_channels=20, out_channels=20, stride=1, widths={"3": 40, "5": 40}, importance=True)
    x = torch.randn(128, 20, 16, 16)
    assert path._is_wide(x)
    before = {name: value.clone() for name, value in path.named_buffers()}
    for norm in (path.expand_norm, path.depthwise_norm, path.norm):
        norm.eval()
    assert not path._is_wide(x)
    path(x)
    assert all(torch.equal(before[name], value) for name, value in path.named_buffers())
