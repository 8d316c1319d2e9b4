"""The capsule idea of a report on backbones for GazeCapture (``docs/sources/gazecapture.md``), after Gaze-Net
(Mahanama et al., 2020) and Sabour et al. (NeurIPS 2017): convolutions, primary capsules, gaze capsules, routing by
agreement and a decoder.

The two name these parts and print none of their numbers. Assumed here: the convolutions are the report's stem and three
of its residual blocks; 16 kinds of primary capsules of 8 numbers; nine gaze capsules of 16 numbers, for looking down,
level or up and to either side or straight, with borders at 10 degrees; three rounds of routing; Sabour's margin loss,
weighed like the reconstruction; the answer and the drawn image are made of all gaze capsules, not of the longest alone.
GazeCapture has no directions of gaze, for which the report gave capsules up: for tasks besides gaze there is no margin
loss, and the capsules find their own classes.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.answers import replace_answer
from gazenas.models.baselines.baseline import Baseline, BaselineSpec, Losses
from gazenas.models.baselines.gazecapture import RECONSTRUCTION_WEIGHT, STEM, WIDTHS, Decoder, reconstruction, stem
from gazenas.models.baselines.resnet import BasicBlock
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task

KINDS, PRIMARY = 16, 8  # of primary capsules at a place, and numbers of each
DIRECTIONS, POSE = 9, 16  # gaze capsules, and numbers of each
ROUNDS = 3
BORDER = math.radians(10)
LONG, SHORT, ABSENT = 0.9, 0.1, 0.5  # the margins, and the weight of capsules that should be short
MARGIN_WEIGHT = RECONSTRUCTION_WEIGHT


def squash(vectors: Tensor) -> Tensor:
    """``(..., d)`` shortened to lengths below 1: long ones to nearly 1, short ones to nearly 0."""
    square = vectors.square().sum(-1, keepdim=True)
    return vectors * square / ((1 + square) * (square + 1e-9).sqrt())


def route(votes: Tensor, rounds: int) -> Tensor:
    """Routing by agreement: capsules above become the mean of votes, and listen to those who agreed with them.

    Gradients pass through the last round alone.

    Args:
        votes: ``(N, above, below, d)``, what each capsule below says of each above.
        rounds: how often.

    Returns:
        ``(N, above, d)``, of lengths below 1.
    """
    seen = votes.detach()
    agreement = torch.zeros_like(seen[..., :1])
    for _ in range(rounds - 1):
        agreement = agreement + seen @ _gather(seen, agreement).transpose(2, 3)
    return _gather(votes, agreement).squeeze(2)


def _gather(votes: Tensor, agreement: Tensor) -> Tensor:
    """``(N, above, 1, d)``: each capsule below shares its vote out among those above by ``(N, above, below, 1)``."""
    return squash(agreement.softmax(1).transpose(2, 3) @ votes)


class Capsules(nn.Module):
    """Convolutions, primary capsules, gaze capsules, a linear layer; a decoder in training mode.

    Args:
        side: of the images in pixels, since every primary capsule has votes of its own.
    """

    def __init__(self, *, side: int) -> None:
        super().__init__()
        self.stem = stem()
        widths = (STEM, *WIDTHS[:3])
        self.blocks = nn.Sequential(
            *(BasicBlock(in_channels=c, channels=width, stride=2) for c, width in pairwise(widths))
        )
        self.primary = nn.Conv2d(widths[-1], KINDS * PRIMARY, 3, 2, 1)
        count = KINDS * math.ceil(side / 32) ** 2
        self.votes = nn.Parameter(torch.randn(count, PRIMARY, DIRECTIONS * POSE) / PRIMARY**0.5)
        self.gaze = FullPrecisionLinear(DIRECTIONS * POSE, 2)
        self.decoder = Decoder(features=DIRECTIONS * POSE, side=16)
        self.has_directions = True

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """``(N, 3, S, S)`` to ``(N, 2)`` pitch and yaw in radians; in training mode with the drawn image and, where
        directions are known, the gaze capsules' lengths ``(N, 9)``."""
        maps = self.primary(self.blocks(self.stem(images)))
        primary = squash(maps.unflatten(1, (KINDS, PRIMARY)).transpose(1, 2).flatten(2).transpose(1, 2))
        votes = torch.unflatten(primary.transpose(0, 1) @ self.votes, 2, (DIRECTIONS, POSE)).permute(1, 2, 0, 3)
        capsules = route(votes, ROUNDS)
        poses = capsules.flatten(1)
        gaze: Tensor = self.gaze(poses)
        if not self.training:
            return gaze
        lengths = (capsules.square().sum(2) + 1e-9).sqrt()
        return (gaze, self.decoder(poses), lengths) if self.has_directions else (gaze, self.decoder(poses))

    def answer(self, task: Task) -> bool:
        """Gives it a fresh last layer for a task; true, since there is one for each."""
        self.has_directions = task is GAZE
        return replace_answer(self, task)


def direction(gaze: Tensor) -> Tensor:
    """``(N,)`` classes from 0 to 8 of ``(N, 2)`` pitch and yaw in radians: thirds of pitch, then of yaw."""
    thirds = (gaze > -BORDER).long() + (gaze > BORDER).long()
    return 3 * thirds[:, 0] + thirds[:, 1]


def capsule_losses(output: tuple[Tensor, ...], images: Tensor, labels: Tensor) -> Losses:
    """The answer's L1 loss and the drawn image's squared error, and the margin loss where directions are known: the
    capsule of the true one should be long, the others short."""
    losses = reconstruction((output[0], output[1]), images, labels)
    if len(output) == 2:
        return losses
    lengths = output[2].float()
    true = F.one_hot(direction(labels), DIRECTIONS)
    present, absent = F.relu(LONG - lengths).square(), F.relu(lengths - SHORT).square()
    margin = (true * present + ABSENT * (1 - true) * absent).sum(1).mean()
    return losses | {"directions": MARGIN_WEIGHT * margin}


def gazecapture_capsules(input_size: int = 128) -> Baseline:
    """Nothing of it is a published size: see the assumptions above."""
    spec = BaselineSpec("gazecapture-capsules", input_size)
    return Baseline(spec=spec, body=Capsules(side=input_size), objective=capsule_losses)
