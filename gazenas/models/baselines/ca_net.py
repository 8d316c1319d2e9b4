"""CA-Net (Cheng et al., AAAI 2020): a coarse gaze from the face, and a residual from the eyes that it attends to.

Written after the layers of an MIT re-implementation, which has no softmax over the two eyes' scores; one is taken here.
Its own loss is not known, so the task's is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.answers import replace_answer
from gazenas.models.baselines.baseline import Baseline, BaselineSpec
from gazenas.models.baselines.face_parts import FaceParts
from gazenas.tasks.inputs import find_inputs
from gazenas.tasks.task import Task

WIDTH = 256
FACE = ((64, 64), (128, 128), (256,) * 6, (512, 512), (1024,))
EYE = ((64, 64), (128,) * 3, (256,) * 3, (512,), (1024,))


def _features(stages: Sequence[Sequence[int]]) -> nn.Sequential:
    """3x3 convolutions in stages with pooling between them, averaged, ``WIDTH`` features."""
    layers: list[nn.Module] = []
    before = 3
    for number, stage in enumerate(stages):
        layers += [nn.MaxPool2d(2)] if number else []
        for after in stage:
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, WIDTH), nn.ReLU())


class GRUStep(nn.Module):
    """One step of a gated recurrent unit (Cho et al., 2014), of plain operations, which every runtime has."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input, self.hidden = nn.Linear(width, 3 * width), nn.Linear(width, 3 * width)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """Input and state ``(N, d)`` to the next state."""
        reset_x, update_x, new_x = self.input(x).chunk(3, 1)
        reset_h, update_h, new_h = self.hidden(state).chunk(3, 1)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        return (1 - update) * new + update * state


class CANet(nn.Module):
    """The face as it is, and eyes of 36 x 60 pixels, cut out of an image of ``side`` pixels; each eye has its own
    weights."""

    def __init__(self, *, side: int) -> None:
        super().__init__()
        self.parts = FaceParts(side=side, face=(side, side), eye=(36, 60), eye_width=80 / 224)
        self.face, self.left, self.right = _features(FACE), _features(EYE), _features(EYE)
        self.coarse_step, self.fine_step = GRUStep(WIDTH), GRUStep(WIDTH)
        self.query, self.key, self.score = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)
        self.coarse, self.gaze = FullPrecisionLinear(WIDTH, 2), FullPrecisionLinear(WIDTH, 2)

    def forward(self, images: Tensor, eye_boxes: Tensor | None = None) -> Tensor:
        """``(N, 3, S, S)``, and ``(N, 8)`` boxes where they are known, to ``(N, 2)`` pitch and yaw in radians."""
        face, left, right = self.parts(images, eye_boxes)
        seen = self.face(face)
        state = self.coarse_step(seen, torch.zeros_like(seen))
        eyes = torch.stack([self.left(left), self.right(right)], 1)
        scores = self.score(torch.tanh(self.query(state)[:, None] + self.key(eyes))).softmax(1)
        gaze: Tensor = self.coarse(state) + self.gaze(self.fine_step((scores * eyes).sum(1), state))
        return gaze

    def answer(self, task: Task) -> bool:
        """Gives both answers a fresh last layer for a task."""
        self.coarse = FullPrecisionLinear(WIDTH, len(task.outputs))
        return replace_answer(self, task)


def ca_net(input_size: int = 224, inputs: str = "") -> Baseline:
    """29,050,181 parameters and 19.67 G MACs at 224."""
    given = find_inputs(inputs, ("eye_boxes",), "ca-net")
    return Baseline(spec=BaselineSpec("ca-net", input_size), body=CANet(side=input_size), inputs=given)
