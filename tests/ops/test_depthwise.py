"""The depthwise convolution against torch's own, value and gradients, wherever its gradient goes strip by strip."""

import pytest
import torch
from torch import Tensor, nn

from gazenas.layers.depthwise import DepthwiseConv2d, weight_gradient


def layers(kernel: int, stride: int, channels: int = 6) -> tuple[DepthwiseConv2d, nn.Conv2d]:
    ours = DepthwiseConv2d(channels=channels, kernel_size=kernel, stride=stride)
    torchs = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False).double()
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 9, 11])
def test_value_and_gradients_are_those_of_conv2d(kernel: int, stride: int, layout: torch.memory_format) -> None:
    for height, width in [(1, 1), (4, 4), (7, 5), (8, 9), (16, 16)]:
        torch.manual_seed(0)
        ours, torchs = layers(kernel, stride)
        x = torch.randn(3, 6, height, width, dtype=torch.float64)
        mine = x.float().contiguous(memory_format=layout).requires_grad_()
        x.requires_grad_()
        out, expected = ours(mine), torchs(x)
        strips = "_WideDepthwiseBackward" in type(out.grad_fn).__name__
        assert strips == (kernel > 3)
        weights = torch.randn_like(expected)
        out.backward(weights.float())
        expected.backward(weights)
        for found, wanted in [
            (out, expected),
            (mine.grad, x.grad),
            (ours.weight.grad, torchs.weight.grad),
        ]:
            torch.testing.assert_close(found, wanted.float(), atol=2e-5, rtol=1e-5, msg=f"{height}x{width}")


@pytest.mark.parametrize(("kernel", "stride"), [(5, 1), (5, 2), (7, 1), (7, 2)])
def test_strips_are_exact_in_float64(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    x = torch.randn(3, 6, 9, 8, dtype=torch.float64)
    out = torch.conv2d(x, weight, None, stride, kernel // 2, 1, 6)
    gradient = torch.randn_like(out)
    (expected,) = torch.autograd.grad(out, weight, gradient)
    torch.testing.assert_close(weight_gradient(x, gradient, kernel, stride), expected, atol=1e-12, rtol=1e-12)


def test_a_slice_of_a_wider_map_and_an_expanded_gradient() -> None:
    """As the mixed convolution gives it, and as a sum gives it back."""
    torch.manual_seed(0)
    ours, torchs = layers(5, 1)
    wide = torch.randn(2, 14, 8, 8).to(memory_format=torch.channels_last)
    ours(wide[:, 4:10]).sum().backward()
    torchs(wide[:, 4:10].double()).sum().backward()
    torch.testing.assert_close(grad(ours), grad(torchs).float(), atol=1e-4, rtol=1e-5)


def test_frozen_weights_get_no_gradient() -> None:
    ours, _ = layers(5, 1)
    ours.weight.requires_grad_(False)
    x = torch.randn(2, 6, 8, 8, requires_grad=True)
    ours(x).sum().backward()
    assert x.grad is not None
    assert ours.weight.grad is None


def test_in_eval_mode_and_without_gradients_it_is_a_plain_convolution() -> None:
    ours, torchs = layers(7, 1)
    x = torch.randn(2, 6, 8, 8)
    assert "Convolution" in type(ours.eval()(x).grad_fn).__name__
    with torch.no_grad():
        torch.testing.assert_close(ours.train()(x), torchs(x.double()).float(), atol=1e-5, rtol=1e-5)


def grad(layer: nn.Conv2d) -> Tensor:
    assert layer.weight.grad is not None
    return layer.weight.grad
