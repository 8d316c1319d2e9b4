"""Mixed depthwise convolution (Tan and Le, BMVC 2019) between two pointwise ones, searchable channel by channel."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.errors import InputError
from gazenas.layers.activation import ACTIVATIONS, RELU, activated_deviation
from gazenas.layers.depthwise import DepthwiseConv2d
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


class MixConv(nn.Module):
    """Pointwise expansion, depthwise convolutions of several kernel sizes side by side, pointwise projection.

    A unit is one depthwise channel. Its importance scales it after BatchNorm and activation; since the projection is
    linear, the factor is applied to the projection's column, which costs nothing on the maps.

    Args:
        in_channels: c.
        out_channels: c'.
        stride: of the depthwise convolutions, 1 or 2.
        widths: channels by kernel size, such as ``{"3": 72, "5": 72}``; zeros are legal.
        importance: whether units carry importance factors (a supernet) or not (a subnet).
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
        kernels: Any = (),
        expansion: Any = 0,
        stream: Stream | None = None,
        activation: str = RELU,
    ) -> None:
        super().__init__()
        self.stride, self.activation = stride, activation
        self.kernels = tuple(widths)
        total = sum(widths.values())
        present = {kernel: count for kernel, count in widths.items() if count}
        self.norm = closing_norm(out_channels, stream)
        self.alphas = nn.ParameterDict(
            {k: nn.Parameter(torch.ones(n)) for k, n in present.items()} if importance else {}
        )
        self.depthwise = nn.ModuleDict(
            {k: DepthwiseConv2d(channels=n, kernel_size=int(k), stride=stride) for k, n in present.items()}
        )
        if total:
            self.expand = nn.Conv2d(in_channels, total, 1, bias=False)
            self.expand_norm = nn.BatchNorm2d(total)
            self.depthwise_norm = nn.BatchNorm2d(total)
            self.project = nn.Conv2d(total, out_channels, 1, bias=False)

    @classmethod
    def full_widths(cls, in_channels: int, *, kernels: Any, expansion: Any) -> dict[str, int]:
        """Channels by kernel size at full width.

        Args:
            in_channels: c.
            kernels: odd sizes, each once.
            expansion: r, channels of each kernel over c.

        Raises:
            InputError: where a setting is out of range.
        """
        if (
            not isinstance(kernels, tuple | list)
            or not kernels
            or any(not isinstance(k, int) or k < 1 or k % 2 == 0 for k in kernels)
        ):
            raise InputError(f"mixconv: kernels: expected a list of odd sizes, found {kernels!r}")
        if len(set(kernels)) != len(kernels):
            raise InputError(f"mixconv: kernels: expected each size once, found {list(kernels)}")
        if not isinstance(expansion, int | float) or not math.isfinite(expansion) or expansion * in_channels < 1:
            raise InputError(f"mixconv: expansion: expected a positive number, found {expansion!r}")
        return {str(kernel): int(expansion * in_channels) for kernel in kernels}

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h / stride, w / stride)``; ``(1, c', 1, 1)``, a constant, without units."""
        if not len(self.depthwise):
            return self.constant()
        weight = self.project.weight
        if len(self.alphas):
            weight = weight * self._joined_alphas().view(1, -1, 1, 1)
        # In place, since memory is what thin networks wait for; BatchNorm's gradient needs its input, not its output.
        activate = ACTIVATIONS[self.activation]
        hidden = activate(self.expand_norm(self.expand(x)), inplace=True)
        if len(self.depthwise) == 1:
            (convolution,) = self.depthwise.values()
            hidden = convolution(hidden)
        else:
            parts = torch.split(hidden, self._counts(), 1)
            hidden = torch.cat([conv(part) for conv, part in zip(self.depthwise.values(), parts, strict=True)], 1)
        projected: Tensor = self.norm(F.conv2d(activate(self.depthwise_norm(hidden), inplace=True), weight))
        return projected

    def _counts(self) -> list[int]:
        return [count for count in self.widths().values() if count]

    def _joined_alphas(self) -> Tensor:
        return torch.cat([self.alphas[kernel] for kernel in self.depthwise])

    def widths(self) -> dict[str, int]:
        """Channels by kernel size as they stand."""
        present = {kernel: convolution.out_channels for kernel, convolution in self.depthwise.items()}
        return {kernel: int(present.get(kernel, 0)) for kernel in self.kernels}  # type: ignore[arg-type]

    def units(self) -> list[Units]:
        """One group a kernel size that is left."""
        groups, start = [], 0
        for kernel in self.depthwise if len(self.alphas) else ():
            alpha = self.alphas[kernel]
            columns = TensorSlice(self.project, "weight", 1, start)
            slices = (
                TensorSlice(self.alphas, kernel, 0),
                TensorSlice(self.expand, "weight", 0, start),
                *norm_slices(self.expand_norm, start),
                TensorSlice(self.depthwise[kernel], "weight", 0),
                *norm_slices(self.depthwise_norm, start),
                columns,
            )
            groups.append(Units(kernel, f"conv{kernel}x{kernel}", alpha, slices, columns, linear=True))
            start += alpha.numel()
        return groups

    def reads(self) -> tuple[TensorSlice, ...]:
        """Columns of the expansion."""
        return (TensorSlice(self.expand, "weight", 1),) if len(self.depthwise) else ()

    def writes(self) -> tuple[TensorSlice, ...]:
        """Rows of the projection, and the closing BatchNorm."""
        rows = (TensorSlice(self.project, "weight", 0),) if len(self.depthwise) else ()
        return (*rows, *norm_slices(self.norm))

    def drop_unused(self) -> None:
        """Drops kernels without channels, and everything but the closing BatchNorm with the last of them."""
        for kernel in list(self.depthwise):
            if not self.depthwise[kernel].weight.shape[0]:  # type: ignore[index]
                del self.depthwise[kernel], self.alphas[kernel]
        if not len(self.depthwise):
            for name in ("expand", "expand_norm", "depthwise_norm", "project"):
                self._modules.pop(name, None)

    def fold(self) -> None:
        """Multiplies the importance factors into the projection and the closing BatchNorm."""
        if len(self.alphas):
            scale_(self.project.weight, self._joined_alphas(), 1)
            self.alphas.clear()
        self.norm = folded(self.norm)

    def constant(self) -> Tensor:
        """``(1, c', 1, 1)``: what the closing BatchNorm makes of a zero input."""
        return normalized_zero(self.norm)

    @torch.no_grad()
    def deviations(self) -> dict[str, Tensor]:
        """Of the depthwise channels, by kernel size."""
        if not len(self.alphas):
            return {}
        each = torch.split(activated_deviation(self.depthwise_norm, self.activation), self._counts())
        return dict(zip(self.alphas, each, strict=True))

    def macs(self, widths: Widths, extent: Extent) -> int:
        """Expansion on the input's pixels, depthwise and projection on the output's."""
        pixels = extent.pixels_out(self.stride)
        each = extent.in_channels * extent.pixels_in + extent.out_channels * pixels
        return sum(count * (each + int(kernel) ** 2 * pixels) for kernel, count in widths.items())

    def params(self, widths: Widths, extent: Extent) -> int:
        """Weights and the affine parameters of three BatchNorms."""
        if not sum(widths.values()):
            return 0
        each = extent.in_channels + extent.out_channels + 4
        return 2 * extent.out_channels + sum(count * (each + int(kernel) ** 2) for kernel, count in widths.items())

    def paper(self, widths: Widths, extent: Extent) -> int:
        """Kernel area times output pixels for every channel; the pointwise convolutions are left out."""
        return extent.pixels_out(self.stride) * sum(count * int(kernel) ** 2 for kernel, count in widths.items())

    def convolutions(self, widths: Widths, extent: Extent) -> list[Convolution] | None:
        """None: it is timed as a whole."""
        return None
