"""What a network may get with each image besides its pixels: a few numbers, by name.

Crops of the eyes and a grid are made inside a network, out of such numbers and of the image, so whoever reads data,
changes images or exports a network handles rows of numbers and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gazenas.errors import InputError, did_you_mean
from gazenas.tasks.gaze import mirror_gaze, roll_gaze
from gazenas.tasks.task import Floats, Labels, unmoved


@dataclass(frozen=True)
class ExtraInput:
    """Numbers that come with each image.

    Attributes:
        name: a key of ``INPUTS``; the keyword of ``forward`` and the name in exported files.
        values: names of the numbers.
        meaning: in a sentence, for exported files and messages.
        key: their column in data folders.
        mirror, roll, place: what a mirrored, a rolled, a scaled and shifted image does to them, as
            ``gazenas.tasks.task.Task`` has it.
        usual: the least and the largest of each number that is common.
    """

    name: str
    values: tuple[str, ...]
    meaning: str
    key: str
    mirror: Callable[[Tensor, int], Tensor]
    roll: Callable[[Tensor, Tensor, int], Tensor]
    place: Callable[[Tensor, Tensor, Tensor, int], Tensor]
    usual: tuple[tuple[float, float], ...]

    def need(self, known: Labels, where: str) -> Floats:
        """``(N, len(values))`` of what must have them.

        Raises:
            InputError: naming what is there in their place.
        """
        column = known.column(self.key)
        if column is None:
            raise InputError(
                f"{where}: the network takes {self.name} ({self.key}) besides images, found "
                f"{', '.join(known.known()) or 'none'}"
            )
        if column.shape != (len(column), len(self.values)):
            raise InputError(
                f"{where}: {self.key}: expected {len(self.values)} numbers an image ({', '.join(self.values)}), found "
                f"shape {column.shape}"
            )
        return column

    def examples(self, count: int, seed: int = 0) -> Tensor:
        """``(count, len(values))`` common ones, the same for the same seed."""
        low, high = np.array(self.usual, np.float32).T
        drawn = np.random.default_rng(seed).random((count, len(self.values)), np.float32)
        return torch.from_numpy(low + (high - low) * drawn)


def mirror_boxes(boxes: Tensor, side: int) -> Tensor:
    """``(N, 4 n)`` boxes from left to right in a row, each left, top, right, bottom in shares: of mirrored images."""
    left, top, right, bottom = boxes.view(len(boxes), -1, 4).flip(1).unbind(2)
    return torch.stack([1 - right, top, 1 - left, bottom], 2).view(boxes.shape)


def roll_boxes(boxes: Tensor, radians: Tensor, side: int) -> Tensor:
    """The same of images turned about their middle, clockwise as seen: boxes move with their middles and stay
    upright."""
    corners = boxes.view(len(boxes), -1, 2, 2)
    half, middle = (corners[:, :, 1] - corners[:, :, 0]) / 2, corners.mean(2) - 0.5
    cosine, sine = radians.cos()[:, None], radians.sin()[:, None]
    x, y = middle.unbind(2)
    turned = torch.stack([cosine * x - sine * y, sine * x + cosine * y], 2) + 0.5
    return torch.stack([turned - half, turned + half], 2).view(boxes.shape)


def place_boxes(boxes: Tensor, scale: Tensor, shift: Tensor, side: int) -> Tensor:
    """The same of images scaled about their middle, then shifted by rows and columns in pixels."""
    corners = (boxes.view(len(boxes), -1, 2) - 0.5) * scale[:, None, None] + 0.5
    return (corners + shift.flip(1)[:, None] / side).view(boxes.shape)


_BOX = ("left", "top", "right", "bottom")

INPUTS: Mapping[str, ExtraInput] = {
    each.name: each
    for each in (
        ExtraInput(
            name="head_pose",
            values=("pitch", "yaw"),
            meaning="of the face's direction in radians, with gaze's signs",
            key="face_head_pose",
            mirror=mirror_gaze,
            roll=roll_gaze,
            place=unmoved,
            usual=((-0.5, 0.5), (-0.8, 0.8)),
        ),
        ExtraInput(
            name="eye_boxes",
            values=tuple(f"{eye}_{edge}" for eye in ("left_eye", "right_eye") for edge in _BOX),
            meaning="a box around each eye, the one at the image's left first, in shares of the image's side",
            key="eye_boxes",
            mirror=mirror_boxes,
            roll=roll_boxes,
            place=place_boxes,
            usual=tuple((edge, edge + 0.05) for edge in (0.1, 0.2, 0.4, 0.5, 0.55, 0.2, 0.85, 0.5)),
        ),
        ExtraInput(
            name="face_box",
            values=_BOX,
            meaning="of the face in the camera's picture, in shares of its width and height",
            key="face_box",
            mirror=mirror_boxes,
            roll=unmoved,
            place=unmoved,
            usual=((0.1, 0.3), (0.1, 0.3), (0.6, 0.9), (0.6, 0.9)),
        ),
    )
}

INPUT_KEYS = frozenset(each.key for each in INPUTS.values())


def find_inputs(words: str, known: Sequence[str], where: str) -> tuple[str, ...]:
    """Names that stand behind a comparator's ``@inputs=``, joined by dashes.

    Args:
        words: such as ``face_box-eye_boxes``; none where empty.
        known: those that the network can take.
        where: for messages.

    Raises:
        InputError: for one that it cannot take, or one that stands there twice.
    """
    names = tuple(words.split("-")) if words else ()
    for name in names:
        if name not in known:
            raise InputError(
                f"{where}: inputs: expected some of {', '.join(known)}, joined by dashes, found {name!r}"
                f"{did_you_mean(name, known)}"
            )
    if len(set(names)) < len(names):
        raise InputError(f"{where}: inputs: expected each once, found {words!r}")
    return names
