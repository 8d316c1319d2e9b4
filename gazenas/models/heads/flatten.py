"""The head of small classifiers: every pixel of the lowest resolution side by side, one hidden layer, two numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.errors import InputError
from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.heads.head import Head, factors_to_lowest, joined_at_lowest, side_by_side
from gazenas.ops.units import TensorSlice
from gazenas.space.search_space import Size


class FlattenHead(Head):
    """Keeps where everything was, which pooling forgets.

    Args:
        in_channels: of each branch.
        sizes: height and width of each branch's map in pixels; higher resolutions are averaged down to the lowest.
        hidden: units of the hidden layer.
    """

    def __init__(self, *, in_channels: Sequence[int], sizes: Sequence[Size], hidden: int) -> None:
        super().__init__()
        if not isinstance(hidden, int) or hidden < 1:
            raise InputError(f"head: hidden: expected a positive whole number, found {hidden!r}")
        self.pixels, self.factors = prod(sizes[-1]), factors_to_lowest(sizes)
        self.lift = nn.Linear(sum(in_channels) * self.pixels, hidden)
        self.gaze = FullPrecisionLinear(hidden, 2)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """One ``(N, c_i, h_i, w_i)`` a branch to ``(N, 2)`` pitch and yaw in radians."""
        gaze: Tensor = self.gaze(F.relu(self.lift(joined_at_lowest(maps, self.factors).flatten(1))))
        return gaze

    def reads(self, channels: Sequence[int]) -> list[TensorSlice]:
        """As many columns of the hidden layer a channel as the map has pixels."""
        return side_by_side(self.lift, channels, self.pixels)

    def maps_read(self) -> list[Size]:
        """One pixel: a linear layer."""
        return [(1, 1)] * len(self.factors)
