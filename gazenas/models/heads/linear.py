"""The plainest head: every branch's channel means, side by side, to two numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.heads.head import Head, side_by_side
from gazenas.ops.units import TensorSlice
from gazenas.space.search_space import Size


class LinearHead(Head):
    """Global average pooling of each branch, then one linear layer.

    Args:
        in_channels: of each branch.
        sizes: height and width of each branch's map in pixels; any will do.
    """

    def __init__(self, *, in_channels: Sequence[int], sizes: Sequence[Size]) -> None:
        super().__init__()
        self.branches = len(sizes)
        self.gaze = FullPrecisionLinear(sum(in_channels), 2)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """One ``(N, c_i, h_i, w_i)`` a branch to ``(N, 2)`` pitch and yaw in radians."""
        gaze: Tensor = self.gaze(torch.cat([x.mean((2, 3)) for x in maps], 1))
        return gaze

    def reads(self, channels: Sequence[int]) -> list[TensorSlice]:
        """One column a channel."""
        return side_by_side(self.gaze, channels)

    def maps_read(self) -> list[Size]:
        """One pixel: channels are averaged before."""
        return [(1, 1)] * self.branches
