"""iTracker (Krafka et al., CVPR 2016) in the form of its PyTorch release: towers for the face and for both eyes, and a
grid that says where the face lies in the picture.

A normalized face fills its image, so the grid is all ones here; it has its layers, and says nothing.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.baselines.baseline import Baseline, BaselineSpec
from gazenas.models.baselines.face_parts import FaceParts

GRID = 25  # cells a side
TOWER = 64 * 12 * 12  # features of a tower


def _tower() -> nn.Sequential:
    """AlexNet-like, 224 x 224 to ``TOWER`` features."""
    return nn.Sequential(
        *(nn.Conv2d(3, 96, 11, 4), nn.ReLU(), nn.MaxPool2d(3, 2), nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 64, 1), nn.ReLU(), nn.Flatten()),
    )


def _hidden(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)


class ITracker(nn.Module):
    """Face and eyes of 224 x 224 pixels, cut out of an image of ``side`` pixels; both eyes share a tower."""

    def __init__(self, *, side: int) -> None:
        super().__init__()
        self.parts = FaceParts(side=side, face=(224, 224), eye=(224, 224), eye_width=60 / 224)
        self.face, self.eye = _tower(), _tower()
        self.eye_features = _hidden(2 * TOWER, 128)
        self.face_features = _hidden(TOWER, 128, 64)
        self.grid_features = _hidden(GRID * GRID, 256, 128)
        self.joined = _hidden(128 + 64 + 128, 128)
        self.gaze = FullPrecisionLinear(128, 2)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, S, S)`` to ``(N, 2)`` pitch and yaw in radians."""
        face, left, right = self.parts(images)
        eyes = self.eye_features(torch.cat([self.eye(left), self.eye(right)], 1))
        grid = self.grid_features(torch.ones_like(images[:, 0, :1, :1].flatten(1)).expand(-1, GRID * GRID))
        gaze: Tensor = self.gaze(self.joined(torch.cat([eyes, self.face_features(self.face(face)), grid], 1)))
        return gaze


def itracker(input_size: int = 224) -> Baseline:
    """6,286,274 parameters and 1.32 G MACs at any size: its parts are resized."""
    return Baseline(spec=BaselineSpec("itracker", input_size), body=ITracker(side=input_size))
