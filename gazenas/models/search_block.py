"""The search block (GazeNAS Fig. 3): squeeze-and-excite, then searchable paths and a residual, added together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from gazenas.ops.squeeze_excite import SqueezeExcite
from gazenas.ops.units import Operator, Widths

BlockWidths = Mapping[str, Widths]


class SearchBlock(nn.Module):
    """Adds the outputs of its paths to a residual that bypasses squeeze-and-excite.

    In a supernet a path without units stays as the constant of its closing BatchNorm; in a subnet all such
    constants of a block are one ``bias``.

    Args:
        paths: operators by name, built.
        residual: from the block's input to its output shape.
        squeeze: squeeze-and-excite on the input of the paths, or none.
        absent: widths, all zero, of the operators that a subnet lost.
        bias: channels of the constant that lost operators left behind; 0 for none.
    """

    def __init__(
        self,
        *,
        paths: Mapping[str, nn.Module],
        residual: nn.Module,
        squeeze: SqueezeExcite | None,
        absent: BlockWidths | None = None,
        bias: int = 0,
    ) -> None:
        super().__init__()
        self.absent = {name: dict(groups) for name, groups in (absent or {}).items()}
        self.squeeze = squeeze
        self.paths = nn.ModuleDict(paths)
        self.residual = residual
        self.register_parameter("bias", nn.Parameter(torch.zeros(bias)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h / stride, w / stride)``."""
        total: Tensor = self.residual(x)
        excited = x if self.squeeze is None else self.squeeze(x)
        for path in self.paths.values():
            total = total + path(excited)
        return total if self.bias is None else total + self.bias.view(1, -1, 1, 1)

    def operators(self) -> dict[str, Operator]:
        """The paths that are there, by name."""
        return {name: cast(Operator, path) for name, path in self.paths.items()}

    def widths(self) -> dict[str, dict[str, int]]:
        """Units by operator and group as they stand."""
        return {name: operator.widths() for name, operator in self.operators().items()} | self.absent

    def settle(self) -> None:
        """Brings the paths in line after units were cut; squeeze-and-excite leaves with the last unit."""
        for operator in self.operators().values():
            operator.settle()
        if not _any_unit(self.widths()):
            self.squeeze = None

    def fold(self) -> None:
        """Folds importance factors into weights, and the constants of empty paths into ``bias``."""
        constants = []
        for name, operator in self.operators().items():
            if sum(operator.widths().values()):
                operator.fold()
            else:
                constants.append(operator.constant().detach().flatten())
                self.absent[name] = operator.widths()
                del self.paths[name]
        if constants:
            self.bias = nn.Parameter(torch.stack(constants).sum(0))

    def macs(self, widths: BlockWidths, height: int, width: int) -> int:
        """MACs of everything that units can take away, for one image on a ``height`` x ``width`` input."""
        inside = sum(operator.macs(widths[name], height, width) for name, operator in self.operators().items())
        return inside + (self.squeeze.macs() if self.squeeze is not None and _any_unit(widths) else 0)

    def params(self, widths: BlockWidths) -> int:
        """Parameters, when frozen, of everything that units can take away, and of the bias that lost paths leave."""
        inside = sum(operator.params(widths[name]) for name, operator in self.operators().items())
        lost = [operator.out_channels for name, operator in self.operators().items() if not any(widths[name].values())]
        excite = self.squeeze.params() if self.squeeze is not None and _any_unit(widths) else 0
        return inside + excite + max(lost, default=0)


def _any_unit(widths: BlockWidths) -> bool:
    return any(count for groups in widths.values() for count in groups.values())


def one_fewer(widths: BlockWidths, operator: str, group: str) -> BlockWidths:
    """``widths`` with one unit of ``group`` of ``operator`` fewer."""
    return dict(widths) | {operator: dict(widths[operator]) | {group: widths[operator][group] - 1}}
