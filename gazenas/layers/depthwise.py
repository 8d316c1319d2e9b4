"""Depthwise convolution that still is one when a single channel is left."""

from __future__ import annotations

from torch import nn


class DepthwiseConv2d(nn.Conv2d):
    """``nn.Conv2d`` with a kernel a channel and no bias, ``(N, c, h, w)`` to ``(N, c, ceil(h / stride), ceil(w /
    stride))``.

    A type of its own, since a depthwise convolution of one channel has the numbers of a dense one.

    Args:
        channels: c.
        kernel_size: k, odd; the padding keeps the size at stride 1.
        stride: in both directions.
    """

    def __init__(self, *, channels: int, kernel_size: int, stride: int) -> None:
        super().__init__(channels, channels, kernel_size, stride, kernel_size // 2, groups=channels, bias=False)
