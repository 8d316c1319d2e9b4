"""The basic residual block of ResNet (He et al., CVPR 2016): two plain convolutions, searchable by their hidden
channels."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.errors import InputError
from gazenas.layers.activation import ACTIVATIONS, RELU, activated_deviation
from gazenas.ops.stream import Stream, closing_norm, folded
from gazenas.ops.units import (
    Convolution,
    Extent,
    TensorSlice,
    Units,
    Widths,
    norm_slices,
    normalized_zero,
    scale_,
)

HIDDEN = "hidden"


class ConvPair(nn.Module):
    """Two k x k convolutions, each with BatchNorm, and an activation between them.

    A unit is one hidden channel. Its importance scales it after the activation; since the second convolution is linear,
    the factor is applied to that convolution's column, which costs nothing on the maps.

    Args:
        in_channels: c.
        out_channels: c'.
        stride: of the first convolution, 1 or 2.
        widths: ``{"hidden": n}``; zero is legal.
        importance: whether units carry importance factors (a supernet) or not (a subnet).
        kernel: k, odd.
        stream: what is written, where its channels have importance factors.
        activation: key of ``gazenas.layers.activation.ACTIVATIONS``.
    """

    channelwise: ClassVar[bool] = True

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        stride: int,
        widths: Widths,
        importance: bool,
        kernel: int,
        expansion: Any = 0,
        stream: Stream | None = None,
        activation: str = RELU,
    ) -> None:
        super().__init__()
        hidden = widths[HIDDEN]
        self.kernel, self.stride, self.activation = kernel, stride, activation
        self.norm = closing_norm(out_channels, stream)
        self.register_parameter("alpha", nn.Parameter(torch.ones(hidden)) if importance and hidden else None)
        if hidden:
            self.first = nn.Conv2d(in_channels, hidden, kernel, stride, kernel // 2, bias=False)
            self.first_norm = nn.BatchNorm2d(hidden)
            self.second = nn.Conv2d(hidden, out_channels, kernel, 1, kernel // 2, bias=False)

    @classmethod
    def full_widths(cls, in_channels: int, *, kernel: Any, expansion: Any) -> dict[str, int]:
        """Hidden channels at full width.

        Args:
            in_channels: c.
            kernel: k, odd.
            expansion: hidden channels over c.

        Raises:
            InputError: where a setting is out of range.
        """
        if not isinstance(kernel, int) or kernel < 1 or kernel % 2 == 0:
            raise InputError(f"conv: kernel: expected an odd number of pixels, found {kernel!r}")
        if not isinstance(expansion, int | float) or not math.isfinite(expansion) or expansion * in_channels < 1:
            raise InputError(f"conv: expansion: expected a positive number, found {expansion!r}")
        return {HIDDEN: int(expansion * in_channels)}

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h / stride, w / stride)``; ``(1, c', 1, 1)``, a constant, without units."""
        if "first" not in self._modules:
            return self.constant()
        hidden = ACTIVATIONS[self.activation](self.first_norm(self.first(x)), inplace=True)
        weight = self.second.weight
        if self.alpha is not None:
            weight = weight * self.alpha.view(1, -1, 1, 1)
        written: Tensor = self.norm(F.conv2d(hidden, weight, None, 1, self.kernel // 2))
        return written

    def widths(self) -> dict[str, int]:
        """Hidden channels as they stand."""
        return {HIDDEN: self.first.weight.shape[0] if "first" in self._modules else 0}

    def units(self) -> list[Units]:
        """One group, or none."""
        if self.alpha is None:
            return []
        columns = TensorSlice(self.second, "weight", 1)
        slices = (
            TensorSlice(self, "alpha", 0),
            TensorSlice(self.first, "weight", 0),
            *norm_slices(self.first_norm),
            columns,
        )
        return [Units(HIDDEN, HIDDEN, self.alpha, slices, columns, linear=True)]

    def reads(self) -> tuple[TensorSlice, ...]:
        """Columns of the first convolution."""
        return (TensorSlice(self.first, "weight", 1),) if "first" in self._modules else ()

    def writes(self) -> tuple[TensorSlice, ...]:
        """Rows of the second convolution, and the closing BatchNorm."""
        rows = (TensorSlice(self.second, "weight", 0),) if "first" in self._modules else ()
        return (*rows, *norm_slices(self.norm))

    def drop_unused(self) -> None:
        """Drops everything but the closing BatchNorm with the last hidden channel."""
        if "first" in self._modules and not self.first.weight.shape[0]:
            for name in ("first", "first_norm", "second"):
                del self._modules[name]
            self.alpha = None

    def fold(self) -> None:
        """Multiplies the importance factors into the second convolution and the closing BatchNorm."""
        if self.alpha is not None:
            scale_(self.second.weight, self.alpha.detach(), 1)
            self.alpha = None
        self.norm = folded(self.norm)

    def constant(self) -> Tensor:
        """``(1, c', 1, 1)``: what the closing BatchNorm makes of a zero input."""
        return normalized_zero(self.norm)

    @torch.no_grad()
    def deviations(self) -> dict[str, Tensor]:
        """Of the hidden channels."""
        return {} if self.alpha is None else {HIDDEN: activated_deviation(self.first_norm, self.activation)}

    def macs(self, widths: Widths, extent: Extent) -> int:
        """Both convolutions, on the output's pixels."""
        each = self.kernel**2 * (extent.in_channels + extent.out_channels)
        return widths[HIDDEN] * each * extent.pixels_out(self.stride)

    def params(self, widths: Widths, extent: Extent) -> int:
        """Weights and the affine parameters of both BatchNorms."""
        hidden = widths[HIDDEN]
        each = self.kernel**2 * (extent.in_channels + extent.out_channels) + 2
        return hidden * each + (2 * extent.out_channels if hidden else 0)

    def paper(self, widths: Widths, extent: Extent) -> int:
        """Kernel area times output pixels for every channel of either convolution."""
        hidden = widths[HIDDEN]
        channels = hidden + (extent.out_channels if hidden else 0)
        return self.kernel**2 * extent.pixels_out(self.stride) * channels

    def convolutions(self, widths: Widths, extent: Extent) -> list[Convolution] | None:
        """Both."""
        hidden, size = widths[HIDDEN], (extent.height, extent.width)
        after = [-(-side // self.stride) for side in size]
        return [
            Convolution(extent.in_channels, hidden, self.kernel, self.stride, *size),
            Convolution(hidden, extent.out_channels, self.kernel, 1, *after),
        ]
