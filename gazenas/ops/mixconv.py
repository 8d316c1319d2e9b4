"""Mixed depthwise convolution (Tan and Le, BMVC 2019) between two pointwise ones, searchable channel by channel."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.errors import InputError
from gazenas.layers.batch_norm import BatchNorm2d
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
    projected_deviation,
    rectified_deviation,
    scale_,
)

WIDE = 32  # channels a kernel on average from which a training step on a CPU takes the kernels one by one
LARGE = 2**21  # values that all kernels' maps must have together, for copies of them to matter


class MixConv(nn.Module):
    """Pointwise expansion, depthwise convolutions of several kernel sizes side by side, pointwise projection.

    A unit is one depthwise channel. Its importance scales it after BatchNorm and ReLU; since the projection is
    linear, the factor is applied to the projection's column, which costs nothing on the maps.

    Args:
        in_channels: c.
        out_channels: c'.
        stride: of the depthwise convolutions, 1 or 2.
        widths: channels by kernel size, such as ``{"3": 72, "5": 72}``; zeros are legal.
        importance: whether units carry importance factors (a supernet) or not (a subnet).
        stream: what is written, where its channels have importance factors.
    """

    channelwise = True

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
    ) -> None:
        super().__init__()
        self.stride = stride
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
            self.expand_norm = BatchNorm2d(total)
            self.depthwise_norm = BatchNorm2d(total)
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
        projected = self._one_by_one(x, weight) if self._is_wide(x) else self._side_by_side(x, weight)
        return self.norm(projected)  # type: ignore[no-any-return]

    def _side_by_side(self, x: Tensor, weight: Tensor) -> Tensor:
        # In place, since memory is what thin networks wait for; BatchNorm's gradient needs its input, not its output.
        hidden = F.relu(self.expand_norm(self.expand(x)), inplace=True)
        if len(self.depthwise) == 1:
            (convolution,) = self.depthwise.values()
            hidden = convolution(hidden)
        else:
            parts = torch.split(hidden, self._counts(), 1)
            hidden = torch.cat([conv(part) for conv, part in zip(self.depthwise.values(), parts, strict=True)], 1)
        return F.conv2d(F.relu(self.depthwise_norm(hidden), inplace=True), weight)

    def _is_wide(self, x: Tensor) -> bool:
        kernels, total = len(self.depthwise), self.expand.weight.shape[0]
        values = x.numel() // x.shape[1] * total
        trains = self.expand_norm.training and self.depthwise_norm.training and torch.is_grad_enabled()
        return trains and x.device.type == "cpu" and kernels > 1 and total >= WIDE * kernels and values >= LARGE

    def _one_by_one(self, x: Tensor, weight: Tensor) -> Tensor:
        """The same function: more operations, but no wide map is split, copied and joined, nor are their gradients."""
        counts = self._counts()
        rows, columns = torch.split(self.expand.weight, counts), torch.split(weight, counts, 1)
        projected, start = [], 0
        for convolution, into, out in zip(self.depthwise.values(), rows, columns, strict=True):
            hidden = F.relu(self.expand_norm.normalize_part(F.conv2d(x, into), start), inplace=True)
            hidden = F.relu(self.depthwise_norm.normalize_part(convolution(hidden), start), inplace=True)
            projected.append(F.conv2d(hidden, out))
            start += into.shape[0]
        return sum(projected[1:], projected[0])

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
            slices = (
                TensorSlice(self.alphas, kernel, 0),
                TensorSlice(self.expand, "weight", 0, start),
                *norm_slices(self.expand_norm, start),
                TensorSlice(self.depthwise[kernel], "weight", 0),
                *norm_slices(self.depthwise_norm, start),
                TensorSlice(self.project, "weight", 1, start),
            )
            groups.append(Units(kernel, f"conv{kernel}x{kernel}", alpha, slices))
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
    def contributions(self) -> dict[str, Tensor]:
        """By kernel size: abs(alpha) times the deviation of the rectified channel times its way through the projection."""
        if not len(self.alphas):
            return {}
        through = rectified_deviation(self.depthwise_norm) * projected_deviation(self.project.weight, self.norm)
        each = self._joined_alphas().abs() * through
        return dict(zip(self.alphas, torch.split(each, [alpha.numel() for alpha in self.alphas.values()]), strict=True))

    @torch.no_grad()
    def pin(self) -> None:
        """Moves the largest abs(alpha) into the projection, so that it is 1: the closing BatchNorm cancels it anyway."""
        if not len(self.alphas):
            return
        largest = self._joined_alphas().abs().max()
        if largest > 0:
            self.project.weight.mul_(largest)
            for alpha in self.alphas.values():
                alpha.div_(largest)

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
