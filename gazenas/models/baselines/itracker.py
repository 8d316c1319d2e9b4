"""iTracker (Krafka et al., CVPR 2016) in the form of its PyTorch release: towers for the face and for both eyes, and a
grid that says where the face lies in the picture.

A normalized face fills its image, so the grid is all ones; it has its layers, and says nothing.
``itracker@face_box-eye_boxes`` gets the face's box in the camera's picture, which fills cells of the grid, and the
boxes of the eyes.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.baselines.baseline import Baseline, BaselineSpec
from gazenas.models.baselines.face_parts import FaceParts
from gazenas.tasks.inputs import find_inputs

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

    def forward(self, images: Tensor, face_box: Tensor | None = None, eye_boxes: Tensor | None = None) -> Tensor:
        """``(N, 3, S, S)``, and ``(N, 4)`` and ``(N, 8)`` boxes where they are known, to ``(N, 2)`` pitch and yaw in
        radians."""
        face, left, right = self.parts(images, eye_boxes)
        eyes = self.eye_features(torch.cat([self.eye(left), self.eye(right)], 1))
        cells = torch.ones_like(images[:, 0, :1, 0]).expand(-1, GRID * GRID) if face_box is None else covered(face_box)
        grid = self.grid_features(cells)
        gaze: Tensor = self.gaze(self.joined(torch.cat([eyes, self.face_features(self.face(face)), grid], 1)))
        return gaze


def covered(box: Tensor) -> Tensor:
    """``(N, 4)`` boxes in shares of the camera's picture to ``(N, 625)``: 1 for cells of the grid whose middle the box
    covers, row after row, 0 for others."""
    middles = (torch.arange(GRID, device=box.device, dtype=box.dtype) + 0.5) / GRID
    over = (middles > box[:, :2, None]).to(box.dtype) * (middles < box[:, 2:, None])
    across, down = over.unbind(1)
    return (down[:, :, None] * across[:, None]).flatten(1)


def itracker(input_size: int = 224, inputs: str = "") -> Baseline:
    """6,286,274 parameters and 1.32 G MACs at any size: its parts are resized."""
    given = find_inputs(inputs, ("face_box", "eye_boxes"), "itracker")
    return Baseline(spec=BaselineSpec("itracker", input_size), body=ITracker(side=input_size), inputs=given)
