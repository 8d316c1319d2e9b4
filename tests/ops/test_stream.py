"""The norm that writes a stream against torch's own, whose scale and shift are multiplied by hand."""

import copy

import pytest
import torch
from torch import nn

from gazenas.ops.stream import Stream, StreamNorm, channel_scale, closing_norm, folded


def pair(momentum: float | None = 0.1) -> tuple[StreamNorm, nn.BatchNorm2d]:
    """A stream's norm and torch's of the same function."""
    torch.manual_seed(0)
    stream = Stream(width=5).double()
    ours, plain = StreamNorm(5, stream).double(), nn.BatchNorm2d(5).double()
    with torch.no_grad():
        stream.alpha.copy_(torch.tensor([1.0, 0.5, 0.0, -2.0, 3.0]))
        ours.weight.uniform_(0.5, 2)
        ours.bias.normal_()
        plain.weight.copy_(ours.weight * stream.alpha)
        plain.bias.copy_(ours.bias * stream.alpha)
    ours.momentum = plain.momentum = momentum
    return ours, plain


@pytest.mark.parametrize("momentum", [0.1, None])
def test_value_and_statistics_are_those_of_a_scaled_batch_norm(momentum: float | None) -> None:
    ours, plain = pair(momentum)
    for _ in range(3):
        maps = 3 * torch.randn(4, 5, 6, 7, dtype=torch.float64) + 5
        torch.testing.assert_close(ours(maps), plain(maps))
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name), buffer)
    ours.eval()
    before = copy.deepcopy(ours.state_dict())
    torch.testing.assert_close(ours(maps), plain.eval()(maps))
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())


def test_gradients_of_a_factor_are_those_of_its_channel() -> None:
    """d/d alpha of the output's product with a map is that product over alpha, channel by channel."""
    ours, _ = pair()
    maps, given = torch.randn(2, 4, 5, 6, 7, dtype=torch.float64)
    out = ours(maps)
    out.backward(given)
    alpha = ours.stream.alpha
    assert alpha.grad is not None
    products = (out * given).sum((0, 2, 3)).detach()
    alive = alpha != 0
    torch.testing.assert_close((alpha.grad * alpha)[alive].detach(), products[alive])
    assert not out[:, ~alive].any()
    assert ours.weight.grad is not None
    assert not ours.weight.grad[~alive].any()


def test_folded_is_an_ordinary_batch_norm_of_the_same_function() -> None:
    ours, plain = pair()
    maps = torch.randn(4, 5, 6, 7, dtype=torch.float64)
    ours(maps), plain(maps)
    ours.eval(), plain.eval()
    found = folded(ours)
    assert type(found) is nn.BatchNorm2d
    assert not found.training
    torch.testing.assert_close(found(maps), plain(maps))
    torch.testing.assert_close(channel_scale(ours), found.weight)
    assert folded(found) is found


def test_without_a_stream_the_closing_norm_is_torchs() -> None:
    norm = closing_norm(5, None)
    assert type(norm) is nn.BatchNorm2d
    assert channel_scale(norm) is norm.weight
