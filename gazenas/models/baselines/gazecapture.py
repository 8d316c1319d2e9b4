"""The networks of a report on backbones for GazeCapture (``docs/sources/gazecapture.md``): four residual blocks, or
Ghost or Shuffle units.

The report names the blocks and not their widths; here the stem has 24 channels and the blocks 32, 64, 128 and 256, each
of stride 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.errors import InputError
from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.baselines.baseline import Baseline, BaselineSpec, Losses
from gazenas.models.baselines.resnet import BasicBlock, shortcut

STEM = 24
WIDTHS = (32, 64, 128, 256)
FOUR = len(WIDTHS)
GHOST_RATIOS = ("2", "4", "8", "16")  # that divide every width
RECONSTRUCTION_WEIGHT = 0.1


class GhostModule(nn.Module):
    """Some of the maps by a 1x1 convolution, the others from those by a cheap depthwise one (Han et al., CVPR 2020).

    Args:
        in_channels: of the input.
        out_channels: a multiple of ``ratio``.
        kernel: of the cheap operation.
        ratio: how many times as many maps there are as the 1x1 convolution makes.
        rectify: whether a ReLU follows.
    """

    def __init__(self, *, in_channels: int, out_channels: int, kernel: int, ratio: int, rectify: bool) -> None:
        super().__init__()
        made = out_channels // ratio
        cheap = made * (ratio - 1)
        self.rectify = rectify
        self.primary = nn.Sequential(nn.Conv2d(in_channels, made, 1, bias=False), nn.BatchNorm2d(made))
        self.cheap = nn.Sequential(
            nn.Conv2d(made, cheap, kernel, 1, kernel // 2, groups=made, bias=False), nn.BatchNorm2d(cheap)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h, w)``."""
        first = self._rectified(self.primary(x))
        return torch.cat([first, self._rectified(self.cheap(first))], 1)

    def _rectified(self, x: Tensor) -> Tensor:
        return F.relu(x) if self.rectify else x


class GhostBottleneck(nn.Module):
    """Ghost module, strided depthwise convolution, ghost module, and a shortcut."""

    def __init__(self, *, in_channels: int, channels: int, stride: int, kernel: int, ratio: int) -> None:
        super().__init__()
        hidden = 2 * channels
        cheap = {"kernel": kernel, "ratio": ratio}
        self.grow = GhostModule(in_channels=in_channels, out_channels=hidden, rectify=True, **cheap)
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden)
        )
        self.shrink = GhostModule(in_channels=hidden, out_channels=channels, rectify=False, **cheap)
        self.shortcut = shortcut(in_channels, channels, stride) or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h / stride, w / stride)``."""
        result: Tensor = self.shrink(self.depthwise(self.grow(x))) + self.shortcut(x)
        return result


class ShuffleUnit(nn.Module):
    """Grouped 1x1 convolution, channel shuffle, depthwise convolution, grouped 1x1 convolution (Zhang et al., CVPR
    2018).

    Where the stride is 2 the pooled input lies beside the result; ``channels`` must leave a multiple of ``groups`` for
    it.
    """

    def __init__(self, *, in_channels: int, channels: int, stride: int, groups: int = 2) -> None:
        super().__init__()
        own = channels - in_channels if stride == 2 else channels
        hidden = channels // 4
        self.stride, self.groups = stride, groups
        self.lower = nn.Sequential(nn.Conv2d(in_channels, hidden, 1, groups=groups, bias=False), nn.BatchNorm2d(hidden))
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden)
        )
        self.lift = nn.Sequential(nn.Conv2d(hidden, own, 1, groups=groups, bias=False), nn.BatchNorm2d(own))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h / stride, w / stride)``."""
        hidden = F.channel_shuffle(F.relu(self.lower(x)), self.groups)
        hidden = self.lift(self.depthwise(hidden))
        if self.stride == 1:
            return F.relu(x + hidden)
        return F.relu(torch.cat([F.avg_pool2d(x, 3, 2, 1), hidden], 1))


class Decoder(nn.Module):
    """Features to a small image, for the reconstruction loss; exists for training only.

    Args:
        features: of the pooled map.
        side: of the image that it draws.
    """

    def __init__(self, *, features: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.layers = nn.Sequential(nn.Linear(features, 256), nn.ReLU(), nn.Linear(256, 3 * side * side))

    def forward(self, features: Tensor) -> Tensor:
        """``(N, features)`` to ``(N, 3, side, side)``."""
        drawn: Tensor = self.layers(features).unflatten(1, (3, self.side, self.side))
        return drawn


def stem() -> nn.Sequential:
    """``(N, 3, S, S)`` to ``(N, 24, S / 2, S / 2)``."""
    return nn.Sequential(nn.Conv2d(3, STEM, 3, 2, 1, bias=False), nn.BatchNorm2d(STEM), nn.ReLU())


class FourBlocks(nn.Module):
    """Stem, four blocks, pooling, a linear layer.

    Args:
        blocks: each builds one of the four from ``in_channels``, ``channels`` and ``stride``.
        decoder: draws the image from the features in training mode, or none.
    """

    def __init__(self, *, blocks: Sequence[Callable[..., nn.Module]], decoder: Decoder | None) -> None:
        super().__init__()
        self.stem = stem()
        before = (STEM, *WIDTHS[:-1])
        self.blocks = nn.Sequential(
            *(
                block(in_channels=c, channels=width, stride=2)
                for block, c, width in zip(blocks, before, WIDTHS, strict=True)
            )
        )
        self.hidden = nn.Linear(WIDTHS[-1], 128)
        self.gaze = FullPrecisionLinear(128, 2)
        self.decoder = decoder

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, 3, S, S)`` to ``(N, 2)`` pitch and yaw in radians; in training mode with the drawn image where there
        is a decoder."""
        features = self.blocks(self.stem(images)).mean((2, 3))
        gaze: Tensor = self.gaze(F.relu(self.hidden(features)))
        return (gaze, self.decoder(features)) if self.decoder is not None and self.training else gaze


def reconstruction(output: tuple[Tensor, Tensor], images: Tensor, gaze: Tensor) -> Losses:
    """The L1 loss of gaze and the weighted squared error of the drawn image against the shrunk input."""
    predicted, drawn = output[0].float(), output[1].float()
    small = F.adaptive_avg_pool2d(images.float(), drawn.shape[-1])
    return {"gaze": (predicted - gaze).abs().mean(), "image": RECONSTRUCTION_WEIGHT * F.mse_loss(drawn, small)}


def gazecapture(input_size: int = 128) -> Baseline:
    """With residual blocks."""
    return Baseline(
        spec=BaselineSpec("gazecapture", input_size), body=FourBlocks(blocks=FOUR * [BasicBlock], decoder=None)
    )


def gazecapture_ghost(input_size: int = 128, *, kernel: str = "3", ratio: str = "2") -> Baseline:
    """With Ghost bottlenecks, whose cheap operations the report varies.

    Args:
        input_size: side of the images in pixels.
        kernel: of the cheap operations: an odd number, or one for each of the four blocks, such as ``1-3-5-7``.
        ratio: how many times as many maps a Ghost module has as its 1x1 convolution makes: 2, 4, 8 or 16.

    Raises:
        InputError: where they are others.
    """
    words = kernel.split("-")
    kernels = [int(word) for word in words if word.isdecimal()]
    if len(kernels) != len(words) or len(words) not in (1, FOUR) or any(size % 2 == 0 for size in kernels):
        raise InputError(
            f"gazecapture-ghost@kernel: expected an odd number, or four joined by -, such as 1-3-5-7, found {kernel!r}"
        )
    if ratio not in GHOST_RATIOS:
        raise InputError(f"gazecapture-ghost@ratio: expected one of {', '.join(GHOST_RATIOS)}, found {ratio!r}")
    each = kernels * (FOUR // len(kernels))
    body = FourBlocks(blocks=[partial(GhostBottleneck, kernel=k, ratio=int(ratio)) for k in each], decoder=None)
    changed = {name: value for name, value, usual in (("kernel", kernel, "3"), ("ratio", ratio, "2")) if value != usual}
    return Baseline(spec=BaselineSpec("gazecapture-ghost", input_size, changed), body=body)


def gazecapture_shuffle(input_size: int = 128) -> Baseline:
    """With Shuffle units."""
    body = FourBlocks(blocks=FOUR * [ShuffleUnit], decoder=None)
    return Baseline(spec=BaselineSpec("gazecapture-shuffle", input_size), body=body)


def gazecapture_reconstruction(input_size: int = 128) -> Baseline:
    """With residual blocks and the reconstruction loss; the decoder is not run outside training."""
    body = FourBlocks(blocks=FOUR * [BasicBlock], decoder=Decoder(features=WIDTHS[-1], side=16))
    spec = BaselineSpec("gazecapture-reconstruction", input_size)
    return Baseline(spec=spec, body=body, objective=reconstruction)
