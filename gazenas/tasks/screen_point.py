"""The point on a screen at which a person looks, relative to the camera.

Labels are ``(x, y)`` in centimeters in the plane of the screen, which goes through the camera: x toward the image's
right, y down, so ``(0, 0)`` is the camera itself. A phone below its camera has positive y.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gazenas.tasks.task import Floats, Measure, Task, mean_reference, unmoved

KEYS = ("screen_point",)


def point_loss(prediction: Tensor, point: Tensor) -> Tensor:
    """Mean distance in centimeters. Both ``(N, 2)``."""
    return ((prediction - point).square().sum(1) + 1e-12).sqrt().mean()


def point_error(predictions: Floats, true: Floats) -> Floats:
    """``(N,)`` distances in centimeters."""
    return np.asarray(np.hypot(*(predictions - true).T), np.float32)


def mirror_point(point: Tensor, side: int = 0) -> Tensor:
    """``(N, 2)`` of mirrored images: on the other side of the camera."""
    return point * point.new_tensor([-1, 1])


def roll_point(point: Tensor, radians: Tensor, side: int = 0) -> Tensor:
    """``(N, 2)`` of images turned clockwise, as a camera sees what is turned about its axis."""
    radians = radians.to(point)
    (x, y), cosine, sine = point.unbind(1), radians.cos(), radians.sin()
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], 1)


SCREEN_POINT = Task(
    name="screen_point",
    outputs=("x", "y"),
    unit="cm",
    keys=KEYS,
    loss=point_loss,
    error=point_error,
    error_name="distance on the screen",
    mirror=mirror_point,
    roll=roll_point,
    place=unmoved,  # where the face lies in its patch is where it was found, not where the person sits
    error_unit="cm",
    measures={
        "mae_x": Measure("across", lambda predictions, true: float(abs(predictions - true)[:, 0].mean())),
        "mae_y": Measure("down", lambda predictions, true: float(abs(predictions - true)[:, 1].mean())),
    },
    references={"mean_predictor_error": mean_reference(KEYS, point_error)},
    standardized=True,
    convention="centimeters in the plane of the screen, from the camera; x toward the image's right, y down",
)
