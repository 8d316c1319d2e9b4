"""Hand-made rivals: plain networks that anybody would write in ten lines, at any width.

``handmade`` is 3x3 convolutions of stride 2 down to a map of at most 7 pixels a side, a residual block after each but
the first, and two linear layers. ``handmade_mobile`` is the same with inverted residuals, after MobileNetV2 (Sandler et
al., CVPR 2018). ``handmade_window`` is the first, reading only the middle of the image, where the eyes are; on request
with a smooth activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from gazenas.errors import InputError
from gazenas.layers.activation import RELU, Activation, expect_activation
from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.baselines.baseline import Baseline, BaselineSpec
from gazenas.models.baselines.resnet import BasicBlock

LAST_SIDE = 7  # pixels that the last map has at most
SIZE = 64  # pixels, where nothing else is said
HIDDEN = 64
EXPANSION = 4
MARGIN = 8  # a window leaves out so many parts of the image on each side
Amount = TypeVar("Amount", int, NDArray[np.int64])  # one number of channels, or one for each of many networks


def strided_convolutions(input_size: int) -> int:
    """How many halvings bring ``input_size`` to at most ``LAST_SIDE`` pixels.

    Raises:
        InputError: where the size cannot be halved so often.
    """
    count = 1
    while input_size > LAST_SIDE << count:
        count += 1
    if input_size < 2 or input_size % (1 << count):
        raise InputError(f"handmade: input_size: expected a positive multiple of {1 << count}, found {input_size}")
    return count


def stretch(values: Sequence[float], count: int) -> list[float]:
    """As many numbers as ``count`` along the same curve: linear between logarithms, both ends kept where there are
    two."""
    at = np.linspace(0, len(values) - 1, count) if count > 1 else np.array([len(values) - 1.0])
    return [float(value) for value in np.exp(np.interp(at, np.arange(len(values)), np.log(values)))]


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise 3x3, 1x1 projection without activation; the input is added where the shape stays.

    Args:
        in_channels, out_channels: of the narrow ends.
        stride: of the depthwise convolution.
        expansion: channels of the wide middle over ``in_channels``.
    """

    def __init__(self, *, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = expansion * in_channels
        self.adds = stride == 1 and in_channels == out_channels
        self.layers = nn.Sequential(
            *(nn.Conv2d(in_channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()),
            *(nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU()),
            *(nn.Conv2d(wide, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h / stride, w / stride)``."""
        result: Tensor = self.layers(x)
        return x + result if self.adds else result


class Window(nn.Module):
    """The middle of the image.

    Args:
        margin: pixels that are left out on each side.
    """

    def __init__(self, *, margin: int) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, S, S)`` to ``(N, 3, S - 2 margin, S - 2 margin)``."""
        return images[..., self.margin : -self.margin, self.margin : -self.margin]


class HandMade(nn.Module):
    """Layers in a row, flattened, one hidden layer.

    Args:
        layers: images to ``(N, channels, side, side)``, one after another.
        features: ``channels x side x side``.
        hidden: units of the hidden layer.
    """

    def __init__(self, *, layers: Sequence[nn.Module], features: int, hidden: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*layers)
        self.gaze = nn.Sequential(nn.Flatten(), nn.Linear(features, hidden), nn.ReLU(), FullPrecisionLinear(hidden, 2))

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, S, S)`` to ``(N, 2)`` pitch and yaw in radians."""
        gaze: Tensor = self.gaze(self.features(images))
        return gaze


def handmade(*, input_size: int = SIZE, channels: Sequence[int] | str, hidden: int = HIDDEN) -> Baseline:
    """The hand-made network at given widths.

    Args:
        input_size: of the images.
        channels: of the strided convolutions and the blocks behind them, as many as :func:`strided_convolutions` says;
            in a name joined by -, such as ``24-28-36-56``.
        hidden: units of the hidden layer.

    Raises:
        InputError: where the size or the widths do not fit.
    """
    widths = _widths(channels)
    return _plain("handmade", input_size, widths, hidden, {"channels": list(widths), "hidden": hidden})


def handmade_window(
    *, input_size: int = SIZE, channels: Sequence[int] | str, hidden: int = HIDDEN, activation: str = RELU
) -> Baseline:
    """The same on the middle three quarters of the image's rows and columns.

    Args:
        input_size, channels, hidden: as in :func:`handmade`.
        activation: after the convolutions, a key of ``gazenas.layers.activation.ACTIVATIONS``.

    Raises:
        InputError: where the size, the widths or the activation do not fit.
    """
    expect_activation(activation, "handmade-window: activation")
    widths = _widths(channels)
    settings = {"channels": list(widths), "hidden": hidden}
    settings |= {} if activation == RELU else {"activation": activation}
    margin = input_size // MARGIN
    return _plain("handmade-window", input_size, widths, hidden, settings, margin=margin, activation=activation)


def handmade_mobile(
    *, input_size: int = SIZE, channels: Sequence[int] | str, hidden: int = HIDDEN, expansion: int = EXPANSION
) -> Baseline:
    """The same with two inverted residuals, the first of stride 2, in place of each convolution but the first and its
    block.

    Args:
        input_size, channels, hidden: as in :func:`handmade`.
        expansion: of each inverted residual.

    Raises:
        InputError: where the size or the widths do not fit.
    """
    widths = _widths(channels)
    settings = {"channels": list(widths), "hidden": hidden, "expansion": expansion}
    return _mobile("handmade-mobile", input_size, widths, hidden, expansion, settings)


def named_handmade(name: str, channels: Sequence[int], own_size: int, *, input_size: int = 0) -> Baseline:
    """The network of a name: its widths at its own size; at others, widths along the same curve in multiples of
    four."""
    size = input_size or own_size
    return _plain(name, size, _fitted(channels, size), HIDDEN, {})


def named_mobile(name: str, channels: Sequence[int], own_size: int, *, input_size: int = 0) -> Baseline:
    """The same of inverted residuals."""
    size = input_size or own_size
    return _mobile(name, size, _fitted(channels, size), HIDDEN, EXPANSION, {})


def _fitted(channels: Sequence[int], input_size: int) -> Sequence[int]:
    count = strided_convolutions(input_size)
    return channels if count == len(channels) else [max(4, 4 * round(c / 4)) for c in stretch(channels, count)]


def _widths(channels: Sequence[int] | str) -> Sequence[int]:
    """Numbers of a name, ``24-28-36-56``, as such; -1 for what is none."""
    if not isinstance(channels, str):
        return channels
    return [int(word) if word.isdecimal() else -1 for word in channels.split("-")]


def _plain(
    name: str,
    input_size: int,
    channels: Sequence[int],
    hidden: int,
    settings: dict[str, object],
    margin: int = 0,
    activation: str = RELU,
) -> Baseline:
    side = _last_side(input_size, channels, margin, hidden=hidden)
    layers: list[nn.Module] = [Window(margin=margin)] if margin else []
    layers.append(_halving(3, channels[0], activation))
    for before, after in pairwise(channels):
        layers.append(_halving(before, after, activation))
        layers.append(BasicBlock(in_channels=after, channels=after, stride=1, activation=activation))
    body = HandMade(layers=layers, features=channels[-1] * side * side, hidden=hidden)
    return Baseline(spec=BaselineSpec(name, input_size, settings), body=body)


def _mobile(
    name: str,
    input_size: int,
    channels: Sequence[int],
    hidden: int,
    expansion: int,
    settings: dict[str, object],
) -> Baseline:
    side = _last_side(input_size, channels, hidden=hidden, expansion=expansion)
    layers: list[nn.Module] = [_halving(3, channels[0])]
    for before, after in pairwise(channels):
        layers += [
            InvertedResidual(in_channels=before, out_channels=after, stride=2, expansion=expansion),
            InvertedResidual(in_channels=after, out_channels=after, stride=1, expansion=expansion),
        ]
    body = HandMade(layers=layers, features=channels[-1] * side * side, hidden=hidden)
    return Baseline(spec=BaselineSpec(name, input_size, settings), body=body)


def _halving(in_channels: int, out_channels: int, activation: str = RELU) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 3, 2, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), Activation(activation))


def _last_side(input_size: int, channels: Sequence[int], margin: int = 0, **numbers: int) -> int:
    """Side of the last map, once all numbers are checked."""
    count = strided_convolutions(input_size)
    whole = isinstance(channels, list | tuple) and all(type(width) is int and width > 0 for width in channels)
    if not whole or len(channels) != count:
        raise InputError(
            f"handmade: channels: expected {count} positive whole numbers for {input_size} pixels, found {channels}"
        )
    for key, value in numbers.items():
        if type(value) is not int or value < 1:
            raise InputError(f"handmade: {key}: expected a positive whole number, found {value!r}")
    return -(-(input_size - 2 * margin) // (1 << count))


def handmade_macs(channels: Sequence[Amount], input_size: int, hidden: int = HIDDEN, outputs: int = 2) -> Amount:
    """MACs of :func:`handmade` by its formula.

    Args:
        channels: numbers, or arrays of numbers for many networks at once.
        input_size: of the images.
        hidden: units of the hidden layer.
        outputs: of the network.
    """
    side = input_size // 2
    total = 27 * side * side * channels[0]
    for before, after in pairwise(channels):
        side //= 2
        total = total + 9 * side * side * after * (before + 2 * after)
    return total + channels[-1] * (side * side * hidden) + outputs * hidden


def handmade_params(channels: Sequence[Amount], input_size: int, hidden: int = HIDDEN, outputs: int = 2) -> Amount:
    """Parameters of :func:`handmade` by its formula; arguments as in :func:`handmade_macs`."""
    side = input_size >> len(channels)
    total = 29 * channels[0]
    for before, after in pairwise(channels):
        total = total + 9 * after * (before + 2 * after) + 6 * after
    return total + channels[-1] * (side * side * hidden) + (outputs + 1) * hidden + outputs
