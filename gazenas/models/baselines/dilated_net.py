"""Dilated-Net (Chen and Shi, ACCV 2018) in GazeHub's form: dilated convolutions keep the eyes' maps large.

Eyes share one stream, the face has its own. Both begin with VGG-16's first layers, here with fresh weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.baselines.baseline import Baseline, BaselineSpec
from gazenas.models.baselines.face_parts import FaceParts
from gazenas.tasks.inputs import find_inputs

DILATIONS = ((64, (2, 2)), (64, (3, 3)), (128, (4, 5)), (128, (5, 11)))  # channels, and rows and columns


def _convolution(before: int, after: int, kernel: int = 3, dilation: tuple[int, int] = (0, 0)) -> list[nn.Module]:
    """With BatchNorm and ReLU; padded where it is not dilated."""
    padding = 0 if any(dilation) else kernel // 2
    return [
        nn.Conv2d(before, after, kernel, padding=padding, dilation=dilation if any(dilation) else 1),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]


def _first_layers(stages: Sequence[Sequence[int]]) -> list[nn.Module]:
    """VGG's: stages of 3x3 convolutions with pooling between them."""
    layers: list[nn.Module] = []
    before = 3
    for number, stage in enumerate(stages):
        layers += [nn.MaxPool2d(2)] if number else []
        for after in stage:
            layers += _convolution(before, after)
            before = after
    return layers


def _hidden(before: int, after: int) -> list[nn.Module]:
    return [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(0.5)]


class DilatedNet(nn.Module):
    """Face of 96 x 96, eyes of 64 x 96 pixels, cut out of an image of ``side`` pixels."""

    def __init__(self, *, side: int) -> None:
        super().__init__()
        self.parts = FaceParts(side=side, face=(96, 96), eye=(64, 96), eye_width=84 / 224)
        dilated: list[nn.Module] = []
        before = 64
        for channels, dilation in DILATIONS:
            dilated += _convolution(before, channels, dilation=dilation)
            before = channels
        vgg = [[64, 64], [128, 128], [256, 256, 256]]
        self.eye = nn.Sequential(
            *_first_layers(vgg[:2]), *_convolution(128, 64, 1), *dilated, nn.Flatten(), *_hidden(128 * 4 * 6, 256)
        )
        narrow, middle, last = (_convolution(256, 64, 1), _convolution(64, 64), _convolution(64, 64))
        self.face = nn.Sequential(
            *_first_layers(vgg),
            *(narrow[0], nn.MaxPool2d(2), *narrow[1:]),
            *middle,
            *(*last[:2], nn.MaxPool2d(2), last[2]),
            *(nn.Flatten(), *_hidden(64 * 6 * 6, 256), *_hidden(256, 32)),
        )
        self.joined = nn.Sequential(*_hidden(32 + 2 * 256, 256))
        self.gaze = FullPrecisionLinear(256, 2)

    def forward(self, images: Tensor, eye_boxes: Tensor | None = None) -> Tensor:
        """``(N, 3, S, S)``, and ``(N, 8)`` boxes where they are known, to ``(N, 2)`` pitch and yaw in radians."""
        face, left, right = self.parts(images, eye_boxes)
        gaze: Tensor = self.gaze(self.joined(torch.cat([self.face(face), self.eye(left), self.eye(right)], 1)))
        return gaze


def dilated_net(input_size: int = 224, inputs: str = "") -> Baseline:
    """3,920,482 parameters and 3.13 G MACs at any size: its parts are resized."""
    given = find_inputs(inputs, ("eye_boxes",), "dilated-net")
    return Baseline(spec=BaselineSpec("dilated-net", input_size), body=DilatedNet(side=input_size), inputs=given)
