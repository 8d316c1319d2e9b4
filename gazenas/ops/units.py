"""What an operator tells about its search units: which slices of which tensors belong to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Widths = Mapping[str, int]


@dataclass(frozen=True)
class TensorSlice:
    """Where the units of a group lie in one tensor: along ``dim``, from index ``start``, one index a unit.

    The tensor is the parameter or buffer ``name`` of ``module``.
    """

    module: nn.Module
    name: str
    dim: int
    start: int = 0


@dataclass(frozen=True)
class Units:
    """The units of one group of one operator.

    Attributes:
        group: key among the operator's widths, such as ``"3"`` for 3x3 kernels.
        kind: ``"conv3x3"``, ``"conv5x5"``, ... or ``"token"``.
        alpha: importance factors, ``(n,)``.
        slices: every tensor that has one slice a unit, ``alpha`` among them.
    """

    group: str
    kind: str
    alpha: nn.Parameter
    slices: tuple[TensorSlice, ...]


class Operator(Protocol):
    """One searchable path of a search block: ``(N, c, h, w)`` to ``(N, c', h', w')``, an ``nn.Module``.

    An operator with no units left keeps only its closing normalisation, whose constant it still adds.
    """

    out_channels: int
    lanes: int
    """Groups of this many units are fast: onnxruntime lays out in blocks only what has a multiple of four channels."""

    @classmethod
    def full_widths(cls, in_channels: int, **settings: Any) -> dict[str, int]:
        """Units by group at full width; raises ``InputError`` where a setting is unknown or wrong."""
        ...

    def widths(self) -> dict[str, int]:
        """Units by group as they stand."""
        ...

    def units(self) -> list[Units]:
        """The groups that still have units; empty in a subnet."""
        ...

    def settle(self) -> None:
        """Brings everything else in line after units were cut from the tensors."""
        ...

    def fold(self) -> None:
        """Multiplies the importance factors into the weights and forgets them; the eval-mode function stays."""
        ...

    def constant(self) -> Tensor:
        """``(1, c', 1, 1)``: what the closing normalisation makes of a zero input."""
        ...

    def contributions(self) -> dict[str, Tensor]:
        """By group, ``(n,)``: standard deviation that each unit adds to the output, from weights and statistics."""
        ...

    def pin(self) -> None:
        """Takes the common factor out of importance factors where the closing normalisation cancels it."""
        ...

    def macs(self, widths: Widths, height: int, width: int) -> int:
        """MACs for one image with the given widths on a ``height`` x ``width`` input."""
        ...

    def params(self, widths: Widths) -> int:
        """Parameters of a frozen operator with the given widths."""
        ...

    def paper_cost(self, group: str, widths: Widths, height: int, width: int) -> int:
        """The paper's Delta for one unit of ``group``."""
        ...


def fill_lanes(count: float, lanes: int, full: int) -> int:
    """``count`` units and as many more as make whole lanes, at most ``full``."""
    return min(full, math.ceil(count / lanes) * lanes)


def normalised_zero(norm: nn.BatchNorm2d) -> Tensor:
    """``(1, c, 1, 1)``: what ``norm`` makes of a zero input of any size, in training and in eval mode.

    Two zeros a channel, since batch statistics need more than one value; they equal those of a whole zero map.
    """
    zero = norm.weight.new_zeros(1, norm.num_features, 1, 2)
    constant: Tensor = norm(zero)[..., :1]
    return constant


def projected_deviation(weight: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """``(n,)``: deviation at the output of ``norm`` for each of n inputs of a 1x1 projection, per unit of its own deviation.

    Args:
        weight: ``(c', n, 1, 1)``.
        norm: that closes the projection.
    """
    assert norm.running_var is not None, "BatchNorm keeps running statistics"
    gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    through: Tensor = torch.linalg.vector_norm(weight.flatten(1) * gain[:, None], dim=0)
    return through


def rectified_deviation(norm: nn.BatchNorm2d) -> Tensor:
    """``(c,)``: standard deviation of ReLU after ``norm``, for normally distributed inputs of its statistics."""
    mean, scale = norm.bias, norm.weight.abs().clamp_min(1e-12)
    ratio = mean / scale
    density = torch.exp(-0.5 * ratio**2) / (2 * torch.pi) ** 0.5
    above = 0.5 * (1 + torch.erf(ratio / 2**0.5))
    first = mean * above + scale * density
    second = (mean**2 + scale**2) * above + mean * scale * density
    deviation: Tensor = (second - first**2).clamp_min(0).sqrt()
    return deviation


def norm_slices(norm: nn.BatchNorm2d, start: int = 0) -> tuple[TensorSlice, ...]:
    """The four tensors of a BatchNorm, whose channels from ``start`` belong to a group."""
    return tuple(TensorSlice(norm, name, 0, start) for name in ("weight", "bias", "running_mean", "running_var"))


def scale_(tensor: Tensor, factors: Tensor, dim: int) -> None:
    """Multiplies ``tensor`` in place by one factor an index of ``dim``."""
    shape = [1] * tensor.dim()
    shape[dim] = -1
    with torch.no_grad():
        tensor.mul_(factors.view(shape))
