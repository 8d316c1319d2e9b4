"""The search block (GazeNAS Fig. 3): squeeze-and-excite, then searchable paths and a residual, added together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from gazenas.layers.activation import ACTIVATIONS
from gazenas.ops.operator import Operator
from gazenas.ops.squeeze_excite import SqueezeExcite
from gazenas.ops.stream import Stream, closing_norm, folded
from gazenas.ops.units import Convolution, Extent, TensorSlice, Widths, norm_slices

BlockWidths = Mapping[str, Widths]


class ProjectedResidual(nn.Sequential):
    """The residual between two streams: a convolution with BatchNorm, with a stride where the map shrinks.

    Args:
        in_channels: c.
        out_channels: c'.
        stride: 1 or 2.
        kernel: k, odd.
        stream: what is written, where its channels have importance factors.
    """

    def __init__(self, *, in_channels: int, out_channels: int, stride: int, kernel: int, stream: Stream | None) -> None:
        # Of a pointwise kernel every stride-th pixel is taken beforehand: oneDNN 3.12 on AVX2 writes out of bounds in
        # the gradient of strided pointwise weights where the input has fewer than six channels.
        early = stride if kernel == 1 else 1
        super().__init__(
            nn.AvgPool2d(1, early) if early != 1 else nn.Identity(),
            nn.Conv2d(in_channels, out_channels, kernel, stride // early, kernel // 2, bias=False),
            closing_norm(out_channels, stream),
        )
        self.kernel, self.stride = kernel, stride

    def reads(self) -> tuple[TensorSlice, ...]:
        """Columns of the convolution."""
        return (TensorSlice(self[1], "weight", 1),)

    def writes(self) -> tuple[TensorSlice, ...]:
        """Rows of the convolution, and its BatchNorm."""
        return (TensorSlice(self[1], "weight", 0), *norm_slices(cast(nn.BatchNorm2d, self[2])))

    def fold(self) -> None:
        """Multiplies the stream's factors into the BatchNorm."""
        self[2] = folded(cast(nn.BatchNorm2d, self[2]))

    def macs(self, extent: Extent) -> int:
        """Of the convolution, for one image."""
        return self.kernel**2 * extent.in_channels * extent.out_channels * extent.pixels_out(self.stride)

    def params(self, extent: Extent) -> int:
        """Of the convolution and its BatchNorm."""
        return self.kernel**2 * extent.in_channels * extent.out_channels + 2 * extent.out_channels

    def convolution(self, extent: Extent) -> Convolution:
        """What it consists of."""
        return Convolution(
            extent.in_channels, extent.out_channels, self.kernel, self.stride, extent.height, extent.width
        )


class SearchBlock(nn.Module):
    """Adds the outputs of its paths to a residual that bypasses squeeze-and-excite.

    In a supernet a path without units stays as the constant of its closing BatchNorm; in a subnet all such
    constants of a block are one ``bias``.

    Args:
        paths: operators by name, built.
        residual: from the block's input to its output shape; without one the input itself.
        squeeze: squeeze-and-excite on the input of the paths, or none.
        activation: that closes the block, a key of ``gazenas.layers.activation.ACTIVATIONS``; empty for none.
        absent: widths, all zero, of the operators that a subnet lost.
        bias: channels of the constant that lost operators left behind; 0 for none.
    """

    def __init__(
        self,
        *,
        paths: Mapping[str, nn.Module],
        residual: ProjectedResidual | None,
        squeeze: SqueezeExcite | None,
        activation: str = "",
        absent: BlockWidths | None = None,
        bias: int = 0,
    ) -> None:
        super().__init__()
        self.absent = {name: dict(groups) for name, groups in (absent or {}).items()}
        self.squeeze = squeeze
        self.paths = nn.ModuleDict(paths)
        self.residual = residual
        self.activation = activation
        self.register_parameter("bias", nn.Parameter(torch.zeros(bias)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h / stride, w / stride)``."""
        total: Tensor = x if self.residual is None else self.residual(x)
        excited = x if self.squeeze is None else self.squeeze(x)
        for path in self.paths.values():
            total = total + path(excited)
        if self.bias is not None:
            total = total + self.bias.view(1, -1, 1, 1)
        return ACTIVATIONS[self.activation](total) if self.activation else total

    def operators(self) -> dict[str, Operator]:
        """The paths that are there, by name."""
        return {name: cast(Operator, path) for name, path in self.paths.items()}

    def widths(self) -> dict[str, dict[str, int]]:
        """Units by operator and group as they stand."""
        return {name: operator.widths() for name, operator in self.operators().items()} | self.absent

    def reads(self) -> tuple[TensorSlice, ...]:
        """The slices that belong to the channels of its input."""
        readers = [*self.operators().values(), self.squeeze, self.residual]
        return tuple(piece for reader in readers if reader is not None for piece in reader.reads())

    def writes(self) -> tuple[TensorSlice, ...]:
        """The slices that belong to the channels of its output."""
        writers = [*self.operators().values(), self.residual]
        return tuple(piece for writer in writers if writer is not None for piece in writer.writes())

    def drop_unused(self) -> None:
        """Brings the paths in line after units were cut; squeeze-and-excite leaves with the last unit."""
        for operator in self.operators().values():
            operator.drop_unused()
        if not _any_unit(self.widths()):
            self.squeeze = None

    def fold(self) -> None:
        """Folds importance factors into weights, and the constants of empty paths into ``bias``."""
        constants = []
        for name, operator in self.operators().items():
            operator.fold()
            if not any(operator.widths().values()):
                constants.append(operator.constant().detach().flatten())
                self.absent[name] = operator.widths()
                del self.paths[name]
        if constants:
            self.bias = nn.Parameter(torch.stack(constants).sum(0))
        if self.residual is not None:
            self.residual.fold()

    def macs(self, widths: BlockWidths, extent: Extent) -> int:
        """MACs of the block for one image."""
        inside = sum(operator.macs(widths[name], extent) for name, operator in self.operators().items())
        excite = self.squeeze.macs(extent) if self.squeeze is not None and _any_unit(widths) else 0
        return inside + excite + (self.residual.macs(extent) if self.residual is not None else 0)

    def params(self, widths: BlockWidths, extent: Extent) -> int:
        """Parameters of the block once it is frozen, the bias that lost paths leave among them."""
        inside = sum(operator.params(widths[name], extent) for name, operator in self.operators().items())
        lost = any(not any(widths[name].values()) for name in self.operators())
        excite = self.squeeze.params(extent) if self.squeeze is not None and _any_unit(widths) else 0
        residual = self.residual.params(extent) if self.residual is not None else 0
        return inside + excite + residual + (extent.out_channels if lost else 0)

    def paper(self, widths: BlockWidths, extent: Extent) -> int:
        """What the paper charges for the block's units."""
        return sum(operator.paper(widths[name], extent) for name, operator in self.operators().items())


def _any_unit(widths: BlockWidths) -> bool:
    return any(count for groups in widths.values() for count in groups.values())
