"""What an operator tells about its search units: which slices of which tensors belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

Widths = Mapping[str, int]


@dataclass(frozen=True)
class TensorSlice:
    """Where the units of a group lie in one tensor: along ``dim``, from index ``start``, ``span`` indices a unit.

    The tensor is the parameter or buffer ``name`` of ``module``.
    """

    module: nn.Module
    name: str
    dim: int
    start: int = 0
    span: int = 1


@dataclass(frozen=True)
class Extent:
    """What a path of a search block sees: channels of its input and of its output, and the input's size in pixels."""

    in_channels: int
    out_channels: int
    height: int
    width: int

    @property
    def pixels_in(self) -> int:
        """Of a map at the input."""
        return self.height * self.width

    def pixels_out(self, stride: int) -> int:
        """Of a map at the output."""
        return -(-self.height // stride) * -(-self.width // stride)


@dataclass(frozen=True)
class Convolution:
    """A plain convolution, or on a map of one pixel a linear layer: channels, kernel, stride, and its input's size in
    pixels."""

    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    height: int
    width: int

    def resized(self, in_channels: int, out_channels: int) -> Convolution:
        """The same with other channels."""
        return replace(self, in_channels=in_channels, out_channels=out_channels)


@dataclass(frozen=True)
class Units:
    """The units of one group of one operator, or of one stream.

    Attributes:
        group: key among the operator's widths, such as ``"3"`` for 3x3 kernels.
        kind: ``"conv3x3"``, ``"conv5x5"``, ..., ``"hidden"``, ``"token"`` or ``"stream"``.
        alpha: importance factors, ``(n,)``.
        slices: every tensor that has one slice a unit, ``alpha`` among them.
        projection: of an operator, where the units enter the convolution that its closing normalization follows; one of
            ``slices``.
        linear: whether ``alpha`` does nothing but scale what enters ``projection``.
    """

    group: str
    kind: str
    alpha: nn.Parameter
    slices: tuple[TensorSlice, ...]
    projection: TensorSlice | None = None
    linear: bool = False


def fit_attributes(module: nn.Module) -> None:
    """Brings the channel counts that torch's layers keep beside their tensors in line with the tensors."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            depthwise = layer.groups == layer.in_channels == layer.out_channels
            layer.out_channels, layer.in_channels = layer.weight.shape[0], layer.weight.shape[1]
            if depthwise:
                layer.in_channels = layer.groups = layer.out_channels
        elif isinstance(layer, nn.Linear):
            layer.out_features, layer.in_features = layer.weight.shape
        elif isinstance(layer, nn.BatchNorm2d):
            layer.num_features = layer.weight.shape[0]


def normalized_zero(norm: nn.BatchNorm2d) -> Tensor:
    """``(1, c, 1, 1)``: what ``norm`` makes of a zero input of any size, in training and in eval mode.

    Two zeros a channel, since batch statistics need more than one value; they equal those of a whole zero map.
    """
    zero = norm.weight.new_zeros(1, norm.num_features, 1, 2)
    constant: Tensor = norm(zero)[..., :1]
    return constant


def norm_slices(norm: nn.BatchNorm2d, start: int = 0) -> tuple[TensorSlice, ...]:
    """The four tensors of a BatchNorm, whose channels from ``start`` belong to a group."""
    return tuple(TensorSlice(norm, name, 0, start) for name in ("weight", "bias", "running_mean", "running_var"))


def scale_(tensor: Tensor, factors: Tensor, dim: int) -> None:
    """Multiplies ``tensor`` in place by one factor an index of ``dim``."""
    shape = [1] * tensor.dim()
    shape[dim] = -1
    with torch.no_grad():
        tensor.mul_(factors.view(shape))
