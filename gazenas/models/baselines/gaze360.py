"""Gaze360's model (Kellnhofer et al., ICCV 2019): gaze and the quantile of its error, from one frame or seven."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gazenas.models.baselines.baseline import Baseline, BaselineSpec, Losses
from gazenas.models.baselines.resnet import resnet18

QUANTILES = (0.1, 0.9)


class Gaze360(nn.Module):
    """ResNet-18 features of every frame, a bidirectional LSTM over frames, gaze of the middle one and its error.

    Args:
        frames: odd; 1 has no LSTM.
        width: of a frame's features.
    """

    def __init__(self, *, frames: int, width: int) -> None:
        super().__init__()
        self.frames = frames
        self.backbone = resnet18()
        self.classes = nn.Linear(512, 1000)
        self.features = nn.Linear(1000, width)
        self.lstm = nn.LSTM(width, width, 2, batch_first=True, bidirectional=True) if frames > 1 else None
        self.gaze = nn.Linear(2 * width if frames > 1 else width, 3)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, frames, 3, S, S)``, or ``(N, 3, S, S)`` for a still, which is the same frame throughout.

        Returns:
            ``(N, 2)`` pitch and yaw in radians; in training mode with ``(N, 1)``, the distance in radians to the 10%
            and 90% quantiles.
        """
        video = images if images.dim() == 5 else images[:, None].expand(-1, self.frames, -1, -1, -1)
        maps = self.backbone(video.flatten(0, 1))
        seen = self.features(self.classes(maps.mean((2, 3)))).unflatten(0, (-1, self.frames))
        if self.lstm is not None:
            seen = self.lstm(seen)[0]
        raw = self.gaze(seen[:, self.frames // 2])
        gaze = torch.cat([math.pi / 2 * torch.tanh(raw[:, :1]), math.pi * torch.tanh(raw[:, 1:2])], 1)
        return (gaze, math.pi * torch.sigmoid(raw[:, 2:])) if self.training else gaze


def pinball(output: tuple[Tensor, Tensor], images: Tensor, gaze: Tensor) -> Losses:
    """The quantile loss of both angles: the paper's equation 2, averaged."""
    predicted, spread = output[0].float(), output[1].float()
    parts = []
    for quantile, bound in zip(QUANTILES, (predicted - spread, predicted + spread), strict=True):
        off = gaze - bound
        parts.append(torch.maximum(quantile * off, (quantile - 1) * off))
    return {"gaze": torch.stack(parts).mean()}


def gaze360(input_size: int = 224, frames: int = 1) -> Baseline:
    """One frame, or seven as the paper prints: 14.6 M parameters and 12.78 G MACs at 224."""
    name = "gaze360" if frames == 1 else f"gaze360-{frames}"
    return Baseline(spec=BaselineSpec(name, input_size), body=Gaze360(frames=frames, width=256), objective=pinball)
