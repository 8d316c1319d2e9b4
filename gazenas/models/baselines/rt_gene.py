"""RT-GENE (Fischer et al., ECCV 2018) in the form of its PyTorch release: VGG-16 for each eye, and the head's angles.

The head's angles are 0 where a network sees one image alone; their two columns are there. ``rt-gene@head_pose`` gets
them. The GazeNAS paper prints 30.81 G for it, which is its count with eyes of 224 x 224; at its own 36 x 60 it takes
1.27 G.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.baselines.baseline import Baseline, BaselineSpec
from gazenas.models.baselines.face_parts import FaceParts
from gazenas.tasks.inputs import find_inputs

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
POOLED = 7  # cells a side to which the last map is averaged, or of which its one pixel fills all


def _vgg() -> nn.Sequential:
    """VGG-16's convolutions, 14,714,688 parameters: 36 x 60 to 1 x 1."""
    layers: list[nn.Module] = []
    before = 3
    for stage in STAGES:
        for after in stage:
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
            before = after
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _hidden(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, after), nn.BatchNorm1d(after, eps=1e-3), nn.ReLU())


class RTGene(nn.Module):
    """Eyes of 36 x 60 pixels, cut out of an image of ``side`` pixels; each has its own weights."""

    def __init__(self, *, side: int) -> None:
        super().__init__()
        self.parts = FaceParts(side=side, face=(36, 60), eye=(36, 60), eye_width=80 / 224)
        self.left, self.right = _vgg(), _vgg()
        self.left_features, self.right_features = (_hidden(512 * POOLED * POOLED, 1024) for _ in range(2))
        self.both = _hidden(2048, 512)
        self.joined = nn.Sequential(nn.Linear(514, 256), nn.ReLU())
        self.gaze = FullPrecisionLinear(256, 2)

    def forward(self, images: Tensor, head_pose: Tensor | None = None, eye_boxes: Tensor | None = None) -> Tensor:
        """``(N, 3, S, S)``, and ``(N, 2)`` angles and ``(N, 8)`` boxes where they are known, to ``(N, 2)`` pitch and
        yaw in radians."""
        _, left, right = self.parts(images, eye_boxes)
        maps = [each.expand(-1, -1, POOLED, POOLED).flatten(1) for each in (self.left(left), self.right(right))]
        eyes = self.both(torch.cat([self.left_features(maps[0]), self.right_features(maps[1])], 1))
        head = torch.zeros_like(eyes[:, :2]) if head_pose is None else head_pose
        gaze: Tensor = self.gaze(self.joined(torch.cat([eyes, head.to(eyes)], 1)))
        return gaze


def rt_gene(input_size: int = 224, inputs: str = "") -> Baseline:
    """81,998,210 parameters and 1.27 G MACs at any size: its eyes are resized."""
    given = find_inputs(inputs, ("head_pose", "eye_boxes"), "rt-gene")
    return Baseline(spec=BaselineSpec("rt-gene", input_size), body=RTGene(side=input_size), inputs=given)
