"""GazeTR-Hybrid (Cheng and Lu, ICPR 2022): ResNet-18, then a small transformer on its last map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gazenas.layers.linear import FullPrecisionLinear
from gazenas.layers.transformer import EncoderLayer
from gazenas.models.baselines.baseline import Baseline, BaselineSpec
from gazenas.models.baselines.resnet import resnet18


class GazeTRHybrid(nn.Module):
    """A class token beside the pixels of the reduced map, encoded, read by a linear layer.

    Args:
        backbone: images to ``(N, channels, h, h)``.
        channels: of its map.
        tokens: h squared.
        width: of the tokens.
        depth: encoder layers.
        heads: of each.
        feedforward: units of each one's hidden layer.
    """

    def __init__(
        self, *, backbone: nn.Module, channels: int, tokens: int, width: int, depth: int, heads: int, feedforward: int
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.reduce = nn.Sequential(nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width))
        self.token = nn.Parameter(torch.randn(width))
        self.positions = nn.Parameter(torch.randn(tokens + 1, width))
        self.layers = nn.ModuleList(
            EncoderLayer(width=width, heads=heads, feedforward=feedforward, dropout=0.1) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.gaze = FullPrecisionLinear(width, 2)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, S, S)`` to ``(N, 2)`` pitch and yaw in radians."""
        pixels = self.reduce(self.backbone(images)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(pixels.shape[0], 1, -1), pixels], 1)
        for layer in self.layers:
            tokens = layer(tokens, self.positions)
        gaze: Tensor = self.gaze(self.norm(tokens[:, 0]))
        return gaze


def gazetr_hybrid(input_size: int = 224) -> Baseline:
    """11,420,738 parameters and 1,826,383,424 MACs at 224."""
    side = -(-input_size // 32)
    body = GazeTRHybrid(
        backbone=resnet18(), channels=512, tokens=side * side, width=32, depth=6, heads=8, feedforward=512
    )
    return Baseline(spec=BaselineSpec("gazetr-hybrid", input_size), body=body)
