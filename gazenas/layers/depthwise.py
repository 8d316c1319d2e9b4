"""Depthwise convolution whose weight gradient stays fast for kernels wider than three pixels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

STRIP = 3  # columns of the widest kernel for which oneDNN has a weight gradient of its own


class DepthwiseConv2d(nn.Conv2d):
    """``nn.Conv2d`` with a kernel a channel and no bias, the same in every respect but time.

    oneDNN, which runs PyTorch's convolutions on a CPU, computes the weight gradient of a depthwise kernel of more than
    three columns as if the convolution were a dense one, up to sixteen times as slow as in strips. In training it is therefore
    taken strip by strip of three columns.

    Args:
        channels: c.
        kernel_size: k, odd; the padding keeps the size at stride 1.
        stride: in both directions.
    """

    def __init__(self, *, channels: int, kernel_size: int, stride: int) -> None:
        super().__init__(channels, channels, kernel_size, stride, kernel_size // 2, groups=channels, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c, ceil(h / stride), ceil(w / stride))``."""
        trains = self.training and torch.is_grad_enabled() and input.device.type == "cpu"
        if not (trains and self.kernel_size[1] > STRIP and input.dtype == self.weight.dtype == torch.float32):
            return super().forward(input)
        out: Tensor = _WideDepthwise.apply(input, self.weight, self.stride[0])  # type: ignore[no-untyped-call]
        return out


class _WideDepthwise(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        """``(N, c, h, w)`` and ``(c, 1, k, k)`` to ``(N, c, ceil(h / stride), ceil(w / stride))``."""
        context.save_for_backward(x, weight)
        context.stride = stride
        return F.conv2d(x, weight, None, stride, weight.shape[3] // 2, 1, weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = context.saved_tensors
        kernel, stride = weight.shape[3], context.stride
        to_input = to_weight = None
        if context.needs_input_grad[0]:
            to_input = _convolution_backward(gradient, x, weight, stride, kernel // 2, (True, False, False))[0]
        if context.needs_input_grad[1]:
            to_weight = weight_gradient(x, gradient, kernel, stride)
        return to_input, to_weight, None


def weight_gradient(x: Tensor, gradient: Tensor, kernel: int, stride: int) -> Tensor:
    """The gradient of a depthwise kernel, strip by strip.

    A strip's gradient is that of a narrow kernel over the zero-padded input moved to the left.

    Args:
        x: ``(N, c, h, w)``, the input.
        gradient: ``(N, c, ceil(h / stride), ceil(w / stride))``, that of the output.
        kernel: k, odd.
        stride: of the convolution.

    Returns:
        ``(c, 1, k, k)``.
    """
    n, c, h, w = x.shape
    padding = kernel // 2
    # Rows lie one after another, so the zeros before a row also serve as those behind the row above, and a view that
    # begins some pixels later is the image moved to the left: no strip needs a copy of its own.
    rows, columns = h + 2 * padding, w + padding
    strides = (rows * columns * c, 1, columns * c, c)
    memory = x.new_zeros(n * rows * columns * c + (kernel - 1) * c)
    memory.as_strided((n, c, h, w), strides, (padding * columns + padding) * c).copy_(x)
    missing = (columns - STRIP) // stride + 1 - gradient.shape[3]
    if missing:
        gradient = F.pad(gradient, (0, missing))
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    shape = x.new_empty(c, 1, kernel, STRIP)
    strips = []
    for first in range(0, kernel, STRIP):
        moved = memory.as_strided((n, c, rows, columns), strides, first * c)
        strips.append(_convolution_backward(gradient, moved, shape, stride, 0, (False, True, False))[1])
    return torch.cat(strips, 3)[..., :kernel]


def _convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    geometry = [stride, stride], [padding, padding], [1, 1]
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, *geometry, False, [0, 0], x.shape[1], wanted
    )
    return found
