"""Multi-resolution fusion transformer (GazeNAS section 3.2 and Fig. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.errors import InputError
from gazenas.layers.attention import multi_head_attention
from gazenas.layers.linear import FullPrecisionLinear
from gazenas.layers.transformer import post_norm
from gazenas.models.heads.head import Head, square_sides
from gazenas.ops.units import TensorSlice
from gazenas.space.search_space import Size


class BranchEncoder(nn.Module):
    """One transformer encoder layer whose queries come from elsewhere: equation 1 of the paper, post-norm.

    Args:
        width: of the branch's tokens.
        query_width: of what the queries are made from.
        heads: must divide ``width``.
        feedforward: the hidden layer has ``feedforward * width`` units.
    """

    def __init__(self, *, width: int, query_width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.heads = heads
        self.fuse = nn.Linear(query_width, width)
        self.out = nn.Linear(width, width)
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.lift, self.lower = nn.Linear(width, feedforward * width), nn.Linear(feedforward * width, width)

    def forward(self, tokens: Tensor, others: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """``tokens``, ``key``, ``value`` ``(N, n, d)`` and the concatenated queries ``others`` ``(N, n, d')``: ``(N,
        n, d)``."""
        seen = multi_head_attention(self.fuse(others), key, value, heads=self.heads)
        return post_norm(self, tokens, seen)


class MRFTHead(Head):
    """Cuts every branch into the same number of patches and lets each be queried by the others.

    Args:
        in_channels: of each branch.
        sizes: height and width of each branch's map in pixels, square.
        channels: of each branch after the 1x1 reduction.
        patches: side of each branch's patches in pixels.
        heads: of every encoder.
        feedforward: hidden width of the feed-forward over the token width.
        hidden: units of the closing MLP.
        positions: ``"learned"``, or ``"none"`` as the paper reads literally.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        sizes: Sequence[Size],
        channels: Sequence[int],
        patches: Sequence[int],
        heads: int,
        feedforward: int,
        hidden: int,
        positions: str,
    ) -> None:
        super().__init__()
        sides = square_sides(sizes, "mrft")
        patches = fitted_patches(sides, patches)
        widths = [patch * patch * count for patch, count in zip(patches, channels, strict=True)]
        if any(width % heads for width in widths):
            raise InputError(f"head: heads: expected a divisor of the token widths {widths}, found {heads}")
        if positions not in ("learned", "none"):
            raise InputError(f"head: positions: expected learned or none, found {positions!r}")
        self.patches, self.sizes = patches, list(sizes)
        tokens = (sides[0] // patches[0]) ** 2
        self.reduce = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, r, 1, bias=False), nn.BatchNorm2d(r))
            for c, r in zip(in_channels, channels, strict=True)
        )
        learned = (
            [nn.Parameter(0.02 * torch.randn(tokens, width)) for width in widths] if positions == "learned" else []
        )
        self.positions = nn.ParameterList(learned)
        self.queries, self.keys, self.values = (nn.ModuleList(nn.Linear(w, w) for w in widths) for _ in range(3))
        total = sum(widths)
        self.encoders = nn.ModuleList(
            BranchEncoder(width=w, query_width=total - w or w, heads=heads, feedforward=feedforward) for w in widths
        )
        self.lift, self.gaze = nn.Linear(total, hidden), FullPrecisionLinear(hidden, 2)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """One ``(N, c_i, h_i, w_i)`` a branch to ``(N, 2)`` pitch and yaw in radians."""
        tokens = [
            rearrange(reduce(x), "b c (h p) (w q) -> b (h w) (p q c)", p=patch, q=patch)
            for reduce, x, patch in zip(self.reduce, maps, self.patches, strict=True)
        ]
        if len(self.positions):
            tokens = [x + position for x, position in zip(tokens, self.positions, strict=True)]
        queries = [query(x) for query, x in zip(self.queries, tokens, strict=True)]
        pooled = []
        for index, encoder in enumerate(self.encoders):
            others = [query for source, query in enumerate(queries) if source != index] or queries
            x = tokens[index]
            pooled.append(encoder(x, torch.cat(others, -1), self.keys[index](x), self.values[index](x)).mean(1))
        gaze: Tensor = self.gaze(F.relu(self.lift(torch.cat(pooled, -1))))
        return gaze

    def reads(self, channels: Sequence[int]) -> list[TensorSlice]:
        """One column of each branch's reduction a channel."""
        return [TensorSlice(reduce[0], "weight", 1) for reduce in self.reduce]  # type: ignore[index]

    def maps_read(self) -> list[Size]:
        """Each branch's."""
        return self.sizes


def fitted_patches(sizes: Sequence[int], patches: Sequence[int]) -> list[int]:
    """Patch sides for maps of the given sides: as asked, or halved together until at least 4 x 4 tokens come out.

    Raises:
        InputError: where the branches do not give whole patches of the same number.
    """
    if len(patches) != len(sizes) or any(patch < 1 for patch in patches):
        raise InputError(f"head: patches: expected {len(sizes)} positive sides, one a branch, found {list(patches)}")
    fitted: list[Any] = list(patches)
    while (sizes[0] // fitted[0] < 4 or any(size % patch for size, patch in zip(sizes, fitted, strict=True))) and all(
        patch % 2 == 0 for patch in fitted
    ):
        fitted = [patch // 2 for patch in fitted]
    grids = {size / patch for size, patch in zip(sizes, fitted, strict=True)}
    if len(grids) != 1 or not grids.pop().is_integer():
        raise InputError(
            f"head: patches: maps of {list(sizes)} pixels do not give the same whole number of patches of {fitted}"
        )
    return fitted
