"""A plain vision transformer head (Dosovitskiy et al., ICLR 2021): maps side by side, patches of one pixel, a class
token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.errors import InputError
from gazenas.layers.linear import FullPrecisionLinear
from gazenas.layers.transformer import EncoderLayer
from gazenas.models.heads.head import Head, side_by_side, square_sides
from gazenas.ops.units import TensorSlice
from gazenas.space.search_space import Size


class ViTHead(Head):
    """Resizes every branch's map to ``grid`` pixels, lays their channels side by side and encodes the pixels with a
    class token.

    Args:
        in_channels: of each branch.
        sizes: height and width of each branch's map in pixels, square.
        grid: side of the map whose pixels become tokens; where the lowest resolution is smaller, that.
        width: of the tokens.
        depth: encoder layers.
        heads: of each.
        feedforward: units of each one's hidden layer over ``width``.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        sizes: Sequence[Size],
        grid: int,
        width: int,
        depth: int,
        heads: int,
        feedforward: int,
    ) -> None:
        super().__init__()
        if min(grid, width, depth, heads) < 1 or width % heads:
            raise InputError(
                f"head: expected positive grid, width and depth and heads that divide the width, found {grid}, "
                f"{width}, {depth}, {heads}"
            )
        self.grid, self.branches = min(grid, *square_sides(sizes, "vit")), len(sizes)
        self.reduce = nn.Sequential(nn.Conv2d(sum(in_channels), width, 1, bias=False), nn.BatchNorm2d(width))
        self.token = nn.Parameter(0.02 * torch.randn(width))
        self.positions = nn.Parameter(0.02 * torch.randn(self.grid**2 + 1, width))
        self.layers = nn.ModuleList(
            EncoderLayer(width=width, heads=heads, feedforward=feedforward * width) for _ in range(depth)
        )
        self.gaze = FullPrecisionLinear(width, 2)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """One ``(N, c_i, h_i, w_i)`` a branch to ``(N, 2)`` pitch and yaw in radians."""
        seen = torch.cat([self._resized(x) for x in maps], 1)
        pixels = self.reduce(seen).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(pixels.shape[0], 1, -1), pixels], 1)
        for layer in self.layers:
            tokens = layer(tokens, self.positions)
        gaze: Tensor = self.gaze(tokens[:, 0])
        return gaze

    def reads(self, channels: Sequence[int]) -> list[TensorSlice]:
        """One column of the reduction a channel."""
        return side_by_side(self.reduce[0], channels)

    def maps_read(self) -> list[Size]:
        """The grid's."""
        return [(self.grid, self.grid)] * self.branches

    def _resized(self, x: Tensor) -> Tensor:
        """The mean of every cell where the map is a multiple of the grid, else bilinear."""
        side = x.shape[2]
        if side == self.grid:
            return x
        if side % self.grid == 0:
            return F.avg_pool2d(x, side // self.grid)
        return F.interpolate(x, size=(self.grid, self.grid), mode="bilinear", align_corners=False)
