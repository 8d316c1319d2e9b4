"""Gaze: pitch and yaw. Its loss, the error of a prediction, and what the simplest predictors would have reached."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gazenas.gaze import angular_error
from gazenas.tasks.task import Task

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


GAZE = Task(
    name="gaze",
    outputs=("pitch", "yaw"),
    unit="rad",
    loss=gaze_loss,
    error=angular_error,
    references={
        "mean_predictor_error_deg": lambda train, test: mean_predictor_error(train.gaze, test.gaze),
        "head_pose_error_deg": lambda train, test: head_pose_error(
            train.gaze, train.head_pose, test.gaze, test.head_pose
        ),
    },
)
