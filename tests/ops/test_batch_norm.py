"""Batch normalization against torch's own, value, gradients and running statistics, wherever it takes narrow maps as rows."""

import pytest
import torch
from torch import Tensor, nn

from gazenas.layers.batch_norm import SMALL, BatchNorm2d


def pair(channels: int, dtype: torch.dtype = torch.float64) -> tuple[BatchNorm2d, nn.BatchNorm2d]:
    torch.manual_seed(0)
    ours, torchs = BatchNorm2d(channels).to(dtype), nn.BatchNorm2d(channels).double()
    with torch.no_grad():
        ours.weight.uniform_(0.5, 2)
        ours.bias.normal_()
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


def maps(channels: int, side: int = 40) -> Tensor:
    images = -(-SMALL // (side * side * channels))
    values = torch.randn(images, channels, side, side, dtype=torch.float64) * 3 + 5
    return values.to(memory_format=torch.channels_last)


def tiled(out: Tensor) -> bool:
    return "_TiledBatchNorm" in type(out.grad_fn).__name__


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-11), (torch.float32, 2e-5)])
@pytest.mark.parametrize(
    ("channels", "rows"), [(1, True), (5, True), (15, True), (45, True), (16, False), (70, True), (150, False)]
)
def test_equal_to_torch(channels: int, rows: bool, dtype: torch.dtype, close: float) -> None:
    ours, torchs = pair(channels, dtype)
    for _ in range(2):  # the running statistics follow over several batches
        x = maps(channels)
        mine = x.to(dtype).detach().requires_grad_()
        x.requires_grad_()
        out, expected = ours(mine), torchs(x)
        assert tiled(out) == rows
        weights = torch.randn_like(expected)
        ours.zero_grad()
        torchs.zero_grad()
        out.backward(weights.to(dtype))
        expected.backward(weights)
        assert mine.grad is not None
        assert x.grad is not None
        scale = {"weight": 1e2, "bias": 1e2}  # sums over all pixels
        pairs = {"value": (out, expected), "input": (mine.grad, x.grad)}
        pairs |= {
            name: (p.grad, q.grad) for (name, p), q in zip(ours.named_parameters(), torchs.parameters(), strict=True)
        }  # type: ignore[misc]
        pairs |= {name: (p, q) for (name, p), q in zip(ours.named_buffers(), torchs.buffers(), strict=True)}
        for name, (found, wanted) in pairs.items():
            torch.testing.assert_close(
                found.double(), wanted.double(), atol=close * scale.get(name, 1), rtol=close, msg=name
            )


def test_cumulative_statistics() -> None:
    ours, torchs = pair(15)
    ours.momentum = torchs.momentum = None
    for _ in range(3):
        x = maps(15) * torch.rand(1, dtype=torch.float64)
        assert tiled(ours(x))
        torchs(x)
    torch.testing.assert_close(ours.running_var, torchs.running_var)
    torch.testing.assert_close(ours.running_mean, torchs.running_mean)
    assert ours.num_batches_tracked == 3


def test_the_result_may_be_rectified_in_place_and_the_gradient_may_be_an_expanded_one() -> None:
    ours, torchs = pair(15)
    x = maps(15)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    torch.relu_(ours(mine)).sum().backward()
    torch.relu(torchs(theirs)).sum().backward()
    assert mine.grad is not None
    torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.parametrize("case", ["eval", "no gradients", "small", "contiguous", "odd pixels"])
def test_elsewhere_it_is_torchs_own(case: str) -> None:
    ours, torchs = pair(15)
    x = maps(15)
    if case == "small":
        x = x[:1, :, :8, :8].contiguous(memory_format=torch.channels_last)
    elif case == "contiguous":
        x = x.contiguous()
    elif case == "odd pixels":
        x = maps(15, 101)[:1].contiguous(memory_format=torch.channels_last)
    ours.train(case != "eval")
    torchs.train(case != "eval")
    with torch.set_grad_enabled(case != "no gradients"):
        out = ours(x)
        assert not tiled(out)
        assert torch.equal(out, torchs(x))
