"""Gaze: pitch and yaw. Its loss, the error of a prediction, what a changed image does to it, and what the simplest
predictors would have reached."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gazenas.gaze import angles_to_vectors, angular_error, vectors_to_angles
from gazenas.tasks.task import Labels, Measure, ReferencePredictor, Task, unmoved

Floats = NDArray[np.float32]


def gaze_loss(prediction: Tensor, gaze: Tensor) -> Tensor:
    """Mean absolute difference of pitch and yaw in radians: the paper's L1 loss. Both ``(N, 2)``."""
    return (prediction - gaze).abs().mean()


def mean_error(prediction: Floats, gaze: Floats) -> float:
    """Mean angular error in degrees. Both ``(N, 2)`` pitch and yaw in radians."""
    return float(angular_error(prediction, gaze).mean())


def mean_predictor_error(train: Floats | None, gaze: Floats | None) -> float | None:
    """Mean error in degrees of always answering the training mean of pitch and yaw; None without labels.

    Args:
        train: ``(M, 2)`` labels of the training people.
        gaze: ``(N, 2)`` labels to be met.
    """
    if train is None or gaze is None:
        return None
    return mean_error(np.broadcast_to(train.mean(0), gaze.shape), gaze)


def head_pose_error(
    train: Floats | None, train_pose: Floats | None, gaze: Floats | None, pose: Floats | None
) -> float | None:
    """Mean error in degrees of the best linear prediction of gaze from the true head pose.

    Args:
        train, train_pose: ``(M, 2)`` labels and head poses of the training people, on which it is fitted.
        gaze, pose: ``(N, 2)`` labels to be met, and head poses to predict them from.

    Returns:
        None where labels or head poses are absent.
    """
    if train is None or train_pose is None or gaze is None or pose is None:
        return None

    def inputs(angles: Floats) -> Floats:
        return np.concatenate([angles, np.ones((len(angles), 1), np.float32)], 1)

    weights = np.linalg.lstsq(inputs(train_pose), train, rcond=None)[0]
    return mean_error(inputs(pose) @ weights, gaze)


def mirror_gaze(gaze: Tensor, side: int) -> Tensor:
    """``(N, 2)`` of mirrored images: the opposite yaw, the same pitch."""
    return gaze * gaze.new_tensor([1, -1])


def roll_gaze(gaze: Tensor, radians: Tensor, side: int = 0) -> Tensor:
    """``(N, 2)`` angles of directions turned about the camera's axis, clockwise as the camera sees it."""
    x, y, z = angles_to_vectors(gaze).unbind(1)
    cosine, sine = radians.cos(), radians.sin()
    return vectors_to_angles(torch.stack([cosine * x - sine * y, sine * x + cosine * y, z], 1))


def _gaze(known: Labels) -> Floats | None:
    return known.column("face_gaze")


def _head(known: Labels) -> Floats | None:
    return known.column("face_head_pose")


def _difference(column: int) -> Callable[[Floats, Floats], float]:
    """Mean absolute difference of one of the angles in degrees, the short way around."""

    def measure(predictions: Floats, gaze: Floats) -> float:
        turn = np.abs((predictions - gaze + np.pi) % (2 * np.pi) - np.pi)
        return float(np.rad2deg(turn[:, column].mean()))

    return measure


GAZE = Task(
    name="gaze",
    outputs=("pitch", "yaw"),
    unit="rad",
    keys=("face_gaze",),
    loss=gaze_loss,
    error=angular_error,
    error_name="angular error",
    mirror=mirror_gaze,
    roll=roll_gaze,
    place=unmoved,  # a shift or a scale leaves the direction of gaze as it is
    measures={
        "mae_pitch": Measure("mean absolute pitch", _difference(0)),
        "mae_yaw": Measure("mean absolute yaw", _difference(1)),
    },
    references={
        "mean_predictor_error": ReferencePredictor(
            "mean predictor", lambda train, test: mean_predictor_error(_gaze(train), _gaze(test))
        ),
        "head_pose_error": ReferencePredictor(
            "best linear from head pose",
            lambda train, test: head_pose_error(_gaze(train), _head(train), _gaze(test), _head(test)),
        ),
    },
    convention="v = (-cos(pitch) sin(yaw), -sin(pitch), -cos(pitch) cos(yaw)); x right, y down, z away from the camera",
)
