"""The networks of a report on backbones for GazeCapture (``docs/sources/gazecapture.md``): four residual blocks, or
Ghost or Shuffle units.

The report names the blocks and not their widths; here the stem has 24 channels and the blocks 32, 64, 128 and 256, each
of stride 2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.baselines.baseline import Baseline, BaselineSpec, Losses
from gazenas.models.baselines.resnet import BasicBlock, shortcut

WIDTHS = (32, 64, 128, 256)
RECONSTRUCTION_WEIGHT = 0.1


class GhostModule(nn.Module):
    """Half of the maps by a 1x1 convolution, the other half from those by a cheap depthwise one (Han et al., CVPR
    2020).

    Args:
        in_channels: of the input.
        out_channels: even.
        kernel: of the cheap operation.
        rectify: whether a ReLU follows.
    """

    def __init__(self, *, in_channels: int, out_channels: int, kernel: int, rectify: bool) -> None:
        super().__init__()
        half = out_channels // 2
        self.rectify = rectify
        self.primary = nn.Sequential(nn.Conv2d(in_channels, half, 1, bias=False), nn.BatchNorm2d(half))
        self.cheap = nn.Sequential(
            nn.Conv2d(half, half, kernel, 1, kernel // 2, groups=half, bias=False), nn.BatchNorm2d(half)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h, w)``."""
        first = self._rectified(self.primary(x))
        return torch.cat([first, self._rectified(self.cheap(first))], 1)

    def _rectified(self, x: Tensor) -> Tensor:
        return F.relu(x) if self.rectify else x


class GhostBottleneck(nn.Module):
    """Ghost module, strided depthwise convolution, ghost module, and a shortcut."""

    def __init__(self, *, in_channels: int, channels: int, stride: int, kernel: int = 3) -> None:
        super().__init__()
        hidden = 2 * channels
        self.grow = GhostModule(in_channels=in_channels, out_channels=hidden, kernel=kernel, rectify=True)
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden)
        )
        self.shrink = GhostModule(in_channels=hidden, out_channels=channels, kernel=kernel, rectify=False)
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


class FourBlocks(nn.Module):
    """Stem, four blocks, pooling, a linear layer.

    Args:
        block: builds one from ``in_channels``, ``channels`` and ``stride``.
        decoder: draws the image from the features in training mode, or none.
    """

    def __init__(self, *, block: Callable[..., nn.Module], decoder: Decoder | None) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        before = (24, *WIDTHS[:-1])
        self.blocks = nn.Sequential(
            *(block(in_channels=c, channels=width, stride=2) for c, width in zip(before, WIDTHS, strict=True))
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
    return Baseline(spec=BaselineSpec("gazecapture", input_size), body=FourBlocks(block=BasicBlock, decoder=None))


def gazecapture_ghost(input_size: int = 128) -> Baseline:
    """With Ghost bottlenecks."""
    body = FourBlocks(block=GhostBottleneck, decoder=None)
    return Baseline(spec=BaselineSpec("gazecapture-ghost", input_size), body=body)


def gazecapture_shuffle(input_size: int = 128) -> Baseline:
    """With Shuffle units."""
    body = FourBlocks(block=ShuffleUnit, decoder=None)
    return Baseline(spec=BaselineSpec("gazecapture-shuffle", input_size), body=body)


def gazecapture_reconstruction(input_size: int = 128) -> Baseline:
    """With residual blocks and the reconstruction loss; the decoder is not run outside training."""
    body = FourBlocks(block=BasicBlock, decoder=Decoder(features=WIDTHS[-1], side=16))
    spec = BaselineSpec("gazecapture-reconstruction", input_size)
    return Baseline(spec=spec, body=body, objective=reconstruction)
