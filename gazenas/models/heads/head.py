"""What every head tells about the maps that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.errors import InputError
from gazenas.ops.units import Convolution, TensorSlice
from gazenas.space.search_space import Size


class Head(nn.Module):
    """Maps ``(N, c_i, h_i, w_i)``, one a branch, to ``(N, 2)`` pitch and yaw in radians; ends in a linear layer
    ``gaze``."""

    gaze: nn.Linear

    def reads(self, channels: Sequence[int]) -> list[TensorSlice]:
        """The slice that belongs to the channels of each branch, of which there are ``channels``."""
        raise NotImplementedError

    def maps_read(self) -> list[Size]:
        """Height and width in pixels of the map to which that slice is applied, in each branch."""
        raise NotImplementedError

    def params_per_channel(self) -> list[int]:
        """Weights of one channel of each branch."""
        return [piece.span * _rows(piece) for piece in self.reads([0] * len(self.maps_read()))]

    def macs_per_channel(self) -> list[int]:
        """MACs of one channel of each branch, for one image."""
        pairs = zip(self.params_per_channel(), self.maps_read(), strict=True)
        return [params * height * width for params, (height, width) in pairs]

    def convolutions(self, channels: Sequence[int]) -> list[Convolution]:
        """What reads each branch, as a pointwise convolution or a linear layer."""
        return [
            Convolution(count * piece.span, _rows(piece), 1, 1, *size)
            for count, piece, size in zip(channels, self.reads(channels), self.maps_read(), strict=True)
        ]


def square_sides(sizes: Sequence[Size], kind: str) -> list[int]:
    """The sides of maps that must be square.

    Raises:
        InputError: where one is not, as a window may make them.
    """
    if any(height != width for height, width in sizes):
        raise InputError(f"head: {kind}: expected square maps, found {list(sizes)}: a window needs flatten or linear")
    return [height for height, _ in sizes]


def factors_to_lowest(sizes: Sequence[Size]) -> list[int]:
    """How many times as high as the lowest each branch's map is."""
    return [height // sizes[-1][0] for height, _ in sizes]


def joined_at_lowest(maps: Sequence[Tensor], factors: Sequence[int]) -> Tensor:
    """Every branch's channels side by side, averaged down by its factor: ``(N, sum of c_i, h, w)``."""
    small = [x if factor == 1 else F.avg_pool2d(x, factor) for x, factor in zip(maps, factors, strict=True)]
    return small[0] if len(small) == 1 else torch.cat(small, 1)


def side_by_side(module: nn.Module, channels: Sequence[int], span: int = 1) -> list[TensorSlice]:
    """Where each branch's channels lie among the columns of ``module.weight``, ``span`` columns a channel."""
    starts = [span * sum(channels[:branch]) for branch in range(len(channels))]
    return [TensorSlice(module, "weight", 1, start, span) for start in starts]


def _rows(piece: TensorSlice) -> int:
    """Weights of one column."""
    tensor: Tensor = getattr(piece.module, piece.name)
    return prod(size for dim, size in enumerate(tensor.shape) if dim != piece.dim)
