"""Pupil and glints of an infrared image of one eye, in pixels.

A pupil is an ellipse of five numbers, all of them pixels, so that they grow with the image: its middle, half its width
and half its height as it stands in the image, and its slant, the covariance of the ellipse over the root of these two.
Glints are the mirror images of the lights on the cornea, in the order of the lights: on a rim around the eye, the first
18 degrees past the image's right and on clockwise, 36 degrees apart.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gazenas.tasks.task import Floats, Measure, Task, mean_reference

GLINTS = 10
KEYS = ("eye_landmarks",)
OUTPUTS = (
    *("pupil_x", "pupil_y", "pupil_half_width", "pupil_half_height", "pupil_slant"),
    *(f"glint{number}_{axis}" for number in range(1, GLINTS + 1) for axis in "xy"),
)
MIRRORED = [(4 - number) % GLINTS for number in range(GLINTS)]  # the light on the other side of each
POINTS = [0, 1, *range(5, len(OUTPUTS))]  # positions, x and y in turn: the pupil's, then the glints'
SHAPE = [2, 3, 4]
SHAPE_WEIGHT = 0.2


def landmark_loss(prediction: Tensor, landmarks: Tensor) -> Tensor:
    """Mean distance of the pupil and mean distance of the glints, in equal parts, in pixels; besides them a fifth of
    the mean difference of the numbers of the pupil's shape. Both ``(N, 25)``."""
    off = _pairs((prediction - landmarks)[:, POINTS])
    # Not the norm, which has no gradient where a guess is exact.
    distances = (off.square().sum(-1) + 1e-12).sqrt()
    shape = (prediction - landmarks)[:, SHAPE].abs().mean()
    return (distances[:, 0].mean() + distances[:, 1:].mean()) / 2 + SHAPE_WEIGHT * shape


def pupil_distance(predictions: Floats, true: Floats) -> Floats:
    """``(N,)`` distances of the pupil's middle in pixels."""
    distances: Floats = _distances(predictions, true)[:, 0]
    return distances


def glint_distance(predictions: Floats, true: Floats) -> Floats:
    """``(N,)`` mean distances of the glints in pixels."""
    distances: Floats = _distances(predictions, true)[:, 1:].mean(1)
    return distances


def landmark_error(predictions: Floats, true: Floats) -> Floats:
    """``(N,)`` means of the pupil's distance and the glints' mean distance, in pixels."""
    return np.asarray((pupil_distance(predictions, true) + glint_distance(predictions, true)) / 2, np.float32)


def mirror_landmarks(landmarks: Tensor, side: int) -> Tensor:
    """``(N, 25)`` of mirrored images: the other light makes each glint."""
    pupil, glints = landmarks[:, :5], _pairs(landmarks[:, 5:])[:, MIRRORED]
    pupil = pupil * pupil.new_tensor([-1, 1, 1, 1, -1]) + pupil.new_tensor([side, 0, 0, 0, 0])
    glints = glints * glints.new_tensor([-1, 1]) + glints.new_tensor([side, 0])
    return torch.cat([pupil, glints.flatten(1)], 1)


def roll_landmarks(landmarks: Tensor, radians: Tensor, side: int) -> Tensor:
    """``(N, 25)`` of images turned clockwise about their middle."""
    radians = radians.to(landmarks)
    cosine, sine = radians.cos(), radians.sin()
    turn = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)
    points = (_pairs(landmarks[:, POINTS]) - side / 2) @ turn.transpose(1, 2) + side / 2
    width, height, slant = landmarks[:, SHAPE].unbind(1)
    across = slant * (width * height).clamp(min=1e-12).sqrt()
    ellipse = torch.stack([torch.stack([width**2, across], -1), torch.stack([across, height**2], -1)], -2)
    ellipse = turn @ ellipse @ turn.transpose(1, 2)
    width, height = ellipse[:, 0, 0].sqrt(), ellipse[:, 1, 1].sqrt()
    shape = torch.stack([width, height, ellipse[:, 0, 1] / (width * height).clamp(min=1e-12).sqrt()], 1)
    return torch.cat([points[:, 0], shape, points[:, 1:].flatten(1)], 1)


def place_landmarks(landmarks: Tensor, scale: Tensor, shift: Tensor, side: int) -> Tensor:
    """``(N, 25)`` of images scaled about their middle, then shifted by rows and columns."""
    points = (
        (_pairs(landmarks[:, POINTS]) - side / 2) * scale[:, None, None]
        + side / 2
        + shift.flip(1).to(landmarks)[:, None]
    )
    return torch.cat([points[:, 0], landmarks[:, SHAPE] * scale[:, None], points[:, 1:].flatten(1)], 1)


def _pairs(numbers: Tensor) -> Tensor:
    """``(N, 2 n)`` to ``(N, n, 2)``."""
    return numbers.reshape(len(numbers), -1, 2)


def _distances(predictions: Floats, true: Floats) -> Floats:
    """``(N, 11)`` distances of the pupil's middle and of every glint."""
    off = (predictions - true)[:, POINTS].reshape(len(true), -1, 2)
    distances: Floats = np.sqrt((off * off).sum(-1))
    return distances


EYE_LANDMARKS = Task(
    name="eye_landmarks",
    outputs=OUTPUTS,
    unit="px",
    keys=KEYS,
    loss=landmark_loss,
    error=landmark_error,
    error_name="distance of pupil and glints",
    mirror=mirror_landmarks,
    roll=roll_landmarks,
    place=place_landmarks,
    error_unit="px",
    measures={
        "pupil": Measure("pupil", lambda predictions, true: float(pupil_distance(predictions, true).mean())),
        "glints": Measure("glints", lambda predictions, true: float(glint_distance(predictions, true).mean())),
        "pupil_shape": Measure(
            "pupil's width, height and slant",
            lambda predictions, true: float(abs(predictions - true)[:, SHAPE].mean()),
        ),
    },
    percentiles=(20, 80, 95),
    references={"mean_predictor_error": mean_reference(KEYS, landmark_error)},
    channels=1,
    standardized=True,
    convention="pixels of the image, x right, y down, pixel (row, column) from there to the next; pupil: middle, half "
    "width, half height, slant (covariance over the root of these two); glints in the order of the lights, clockwise",
)
