"""Fusion and parallel modules (GazeNAS Fig. 5): how search blocks are joined into a multi-branch network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.layers.activation import ACTIVATIONS, RELU


class ParallelModule(nn.Module):
    """Search blocks stacked within each branch.

    Args:
        branches: for each branch its blocks, the highest resolution first.
    """

    def __init__(self, *, branches: Sequence[Sequence[nn.Module]]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*blocks) for blocks in branches)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """One ``(N, c_i, h_i, w_i)`` a branch to the same shapes."""
        return [branch(x) for branch, x in zip(self.branches, maps, strict=True)]


class FusionModule(nn.Module):
    """Every output branch adds what its neighboring input branches send through one search block each, then an
    activation.

    Blocks that go down have stride 2; what comes up is enlarged to the nearest pixel after its block.

    Args:
        joins: for each output branch its blocks by input branch (from 0); the first keeps that branch's resolution.
        opening: the stride-2 block that makes a new lowest branch out of the fused lowest one, or none.
        activation: key of ``gazenas.layers.activation.ACTIVATIONS``.
    """

    def __init__(
        self, *, joins: Sequence[Mapping[int, nn.Module]], opening: nn.Module | None, activation: str = RELU
    ) -> None:
        super().__init__()
        self.activation = activation
        self.joins = nn.ModuleList(
            nn.ModuleDict({str(source): block for source, block in join.items()}) for join in joins
        )
        self.opening = opening

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """One ``(N, c_i, h_i, w_i)`` an input branch to one ``(N, c'_j, h_j, w_j)`` an output branch."""
        fused, activate = [], ACTIVATIONS[self.activation]
        for to, join in enumerate(self.joins):
            total: Tensor | None = None
            for source, block in join.items():  # type: ignore[operator]
                sent = block(maps[int(source)])
                if int(source) > to:
                    sent = F.interpolate(sent, scale_factor=2, mode="nearest")
                total = sent if total is None else total + sent
            assert total is not None, f"output branch {to} has no input"
            fused.append(activate(total))
        if self.opening is not None:
            fused.append(activate(self.opening(fused[-1])))
        return fused


class Stage(nn.Module):
    """A fusion module, then a parallel module."""

    def __init__(self, *, fusion: FusionModule, parallel: ParallelModule) -> None:
        super().__init__()
        self.fusion, self.parallel = fusion, parallel

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """One map a branch to one map a branch."""
        result: list[Tensor] = self.parallel(self.fusion(maps))
        return result
