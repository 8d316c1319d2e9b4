"""ResNet-18 and ResNet-50 (He et al., CVPR 2016) up to the last map; names of parameters are those of torchvision's
files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.layers.activation import ACTIVATIONS, RELU


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut.

    Args:
        in_channels, channels: read and written.
        stride: of the first convolution.
        activation: key of ``gazenas.layers.activation.ACTIVATIONS``.
    """

    expansion = 1

    def __init__(self, *, in_channels: int, channels: int, stride: int, activation: str = RELU) -> None:
        super().__init__()
        self.activation = activation
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h / stride, w / stride)``."""
        activate = ACTIVATIONS[self.activation]
        hidden = self.bn2(self.conv2(activate(self.bn1(self.conv1(x)))))
        return activate(hidden + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the stride is the middle one's."""

    expansion = 4

    def __init__(self, *, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.downsample = shortcut(in_channels, 4 * channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, 4 c', h / stride, w / stride)``."""
        hidden = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(hidden)) + (x if self.downsample is None else self.downsample(x)))


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """A 1x1 convolution with BatchNorm where the shape changes."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


class ResNet(nn.Module):
    """The stem and four stages.

    Args:
        block: builds a residual block from ``in_channels``, ``channels`` and ``stride``.
        expansion: channels that a block gives over its ``channels``.
        depths: blocks a stage.
    """

    def __init__(self, *, block: Callable[..., nn.Module], expansion: int, depths: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.channels = 64
        stages = []
        for number, depth in enumerate(depths):
            blocks = []
            for index in range(depth):
                stride = 2 if number and not index else 1
                blocks.append(block(in_channels=self.channels, channels=64 << number, stride=stride))
                self.channels = (64 << number) * expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, S, S)`` to ``(N, channels, S / 32, S / 32)``, rounded up."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2, 1)
        result: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return result


def resnet18() -> ResNet:
    """512 channels, 11,176,512 parameters."""
    return ResNet(block=BasicBlock, expansion=1, depths=(2, 2, 2, 2))


def resnet50() -> ResNet:
    """2048 channels, 23,508,032 parameters."""
    return ResNet(block=Bottleneck, expansion=4, depths=(3, 4, 6, 3))
