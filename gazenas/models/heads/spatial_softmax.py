"""The head for places in the image: points of attention, each a softmax over the lowest resolution, and where they are.

The spatial softmax of Levine et al., *End-to-End Training of Deep Visuomotor Policies* (2016), which others call
soft-argmax or integral regression (Sun et al., 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gazenas.errors import InputError
from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.heads.head import Head, factors_to_lowest, joined_at_lowest, side_by_side
from gazenas.ops.units import TensorSlice
from gazenas.space.search_space import Size


class SpatialSoftmaxHead(Head):
    """Finds points, and predicts from their coordinates: what moves in the image moves the prediction along.

    Args:
        in_channels: of each branch.
        sizes: height and width of each branch's map in pixels; higher resolutions are averaged down to the lowest.
        points: that are looked for.
    """

    across: Tensor
    down: Tensor

    def __init__(self, *, in_channels: Sequence[int], sizes: Sequence[Size], points: int) -> None:
        super().__init__()
        if not isinstance(points, int) or points < 1:
            raise InputError(f"head: points: expected a positive whole number, found {points!r}")
        self.size, self.factors = sizes[-1], factors_to_lowest(sizes)
        # A bias would add the same to a whole map, which a softmax does not see.
        self.heat = nn.Conv2d(sum(in_channels), points, 1, bias=False)
        self.gaze = FullPrecisionLinear(2 * points, 2)
        height, width = self.size
        down, across = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        self.register_buffer("across", across.flatten(), persistent=False)
        self.register_buffer("down", down.flatten(), persistent=False)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """One ``(N, c_i, h_i, w_i)`` a branch to ``(N, 2)`` pitch and yaw in radians."""
        shares = self.heat(joined_at_lowest(maps, self.factors)).flatten(2).softmax(2)
        gaze: Tensor = self.gaze(torch.cat([(shares * self.across).sum(2), (shares * self.down).sum(2)], 1))
        return gaze

    def reads(self, channels: Sequence[int]) -> list[TensorSlice]:
        """One column of the pointwise convolution a channel."""
        return side_by_side(self.heat, channels)

    def maps_read(self) -> list[Size]:
        """The lowest resolution: branches are averaged down before."""
        return [self.size] * len(self.factors)
