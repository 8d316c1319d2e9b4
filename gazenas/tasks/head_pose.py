"""Head pose: where the face points, and how far it is turned about that direction.

Labels are ``(pitch, yaw, roll)`` in radians. Pitch and yaw are the direction of the face, as everywhere in this
package; roll turns the head about it, clockwise as seen of a face that looks into the camera. As a rotation of the head
frame (x right, y down, z into the head) into the camera's they are ``Ry(yaw) Rx(pitch) Rz(roll)``.

300W-LP and AFLW2000, and everything that is printed about them, take the same rotation apart otherwise, as
``Rx(pitch) Ry(yaw) Rz(roll)``. Errors of single angles are those of that decomposition, so that they stand beside
printed ones; the geodesic error is the same in both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gazenas.tasks.task import Floats, Measure, Task, mean_reference, unmoved

KEYS = ("face_head_pose", "head_roll")
PRINTED = ("pitch", "yaw", "roll")


def pose_to_rotation(pose: Any) -> Any:
    """``(N, 3, 3)`` rotations of ``(N, 3)`` pitch, yaw, roll in radians; numpy or torch."""
    xp: Any = torch if isinstance(pose, Tensor) else np
    (cp, cy, cr), (sp, sy, sr) = ([part(pose[:, i]) for i in range(3)] for part in (xp.cos, xp.sin))
    rows = [
        [cy * cr - sy * sp * sr, -cy * sr - sy * sp * cr, sy * cp],
        [cp * sr, cp * cr, sp],
        [-sy * cr - cy * sp * sr, sy * sr - cy * sp * cr, cy * cp],
    ]
    return xp.stack([xp.stack(row, -1) for row in rows], -2)


def rotation_to_pose(rotation: Any) -> Any:
    """``(N, 3)`` pitch, yaw, roll in radians of ``(N, 3, 3)`` rotations; the inverse of :func:`pose_to_rotation`."""
    xp: Any = torch if isinstance(rotation, Tensor) else np
    across, down, along = rotation[:, 1, 0], rotation[:, 1, 1], rotation[:, 1, 2]
    pitch = xp.arctan2(along, xp.sqrt(across * across + down * down))
    return xp.stack([pitch, xp.arctan2(rotation[:, 0, 2], rotation[:, 2, 2]), xp.arctan2(across, down)], -1)


def printed_to_rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(N, 3, 3)`` rotations of ``(N, 3)`` pitch, yaw, roll in radians as 300W-LP's files have them."""
    (cp, cy, cr), (sp, sy, sr) = ([part(angles[:, i]) for i in range(3)] for part in (np.cos, np.sin))
    # Rx(pitch) Ry(yaw) Rz(roll), each the transpose of the usual one, x right, y up, z toward the viewer; here with y
    # and z turned around.
    rows = [
        [cy * cr, -cy * sr, sy],
        [cp * sr - sp * sy * cr, cp * cr + sp * sy * sr, sp * cy],
        [-sp * sr - cp * sy * cr, -sp * cr + cp * sy * sr, cp * cy],
    ]
    rotation: NDArray[np.float64] = np.stack([np.stack(row, -1) for row in rows], -2)
    return rotation


def rotation_to_printed(rotation: NDArray[Any]) -> NDArray[np.float64]:
    """The inverse of :func:`printed_to_rotation`, ``(N, 3)``; of the two ways to write a rotation, the one with pitch
    within a right angle, so that yaw may be beyond one."""
    r = rotation.astype(np.float64)
    yaw = np.arctan2(r[:, 0, 2], np.hypot(r[:, 0, 0], r[:, 0, 1]))
    pitch = np.arctan2(r[:, 1, 2], r[:, 2, 2])
    roll = np.arctan2(-r[:, 0, 1], r[:, 0, 0])
    over = np.abs(pitch) > np.pi / 2
    angles = np.stack([np.where(over, pitch + np.pi, pitch), np.where(over, np.pi - yaw, yaw), roll + np.pi * over], -1)
    turned: NDArray[np.float64] = (angles + np.pi) % (2 * np.pi) - np.pi
    return turned


def angle_errors(predictions: Floats, true: Floats) -> NDArray[np.float64]:
    """``(N, 3)`` absolute differences of pitch, yaw and roll in degrees, as 300W-LP has these angles."""
    found, right = (rotation_to_printed(pose_to_rotation(each)) for each in (predictions, true))
    turn: NDArray[np.float64] = np.abs((found - right + np.pi) % (2 * np.pi) - np.pi)
    return np.rad2deg(turn)


def mean_angle_error(predictions: Floats, true: Floats) -> Floats:
    """``(N,)`` means of the three differences in degrees; over images, what the field prints as MAE."""
    errors: Floats = angle_errors(predictions, true).mean(1).astype(np.float32)
    return errors


def geodesic_error(predictions: Floats, true: Floats) -> Floats:
    """``(N,)`` angles in degrees of the rotations that lead from prediction to truth."""
    first, second = (pose_to_rotation(each.astype(np.float64)) for each in (predictions, true))
    # Of the chord, which is exact where the angle is small.
    chord = np.sqrt(((first - second) ** 2).sum((1, 2)) / 8)
    errors: Floats = np.rad2deg(2 * np.arcsin(np.minimum(chord, 1))).astype(np.float32)
    return errors


def pose_loss(prediction: Tensor, pose: Tensor) -> Tensor:
    """Mean absolute difference of pitch, yaw and roll in radians. Both ``(N, 3)``."""
    return (prediction - pose).abs().mean()


def mirror_pose(pose: Tensor, side: int = 0) -> Tensor:
    """``(N, 3)`` of mirrored images: the opposite yaw and roll, the same pitch."""
    return pose * pose.new_tensor([1, -1, -1])


def roll_pose(pose: Tensor, radians: Tensor, side: int = 0) -> Tensor:
    """``(N, 3)`` of heads turned about the camera's axis, clockwise as the camera sees it."""
    radians = radians.to(pose)
    cosine, sine, zero, one = radians.cos(), radians.sin(), torch.zeros_like(radians), torch.ones_like(radians)
    rows = [[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one]]
    turn = torch.stack([torch.stack(row, -1) for row in rows], -2)
    rolled: Tensor = rotation_to_pose(turn @ pose_to_rotation(pose))
    return rolled


def _single(column: int) -> Callable[[Floats, Floats], float]:
    return lambda predictions, true: float(angle_errors(predictions, true)[:, column].mean())


HEAD_POSE = Task(
    name="head_pose",
    outputs=("pitch", "yaw", "roll"),
    unit="rad",
    keys=KEYS,
    loss=pose_loss,
    error=mean_angle_error,
    error_name="mean of the three angles' errors",
    mirror=mirror_pose,
    roll=roll_pose,
    place=unmoved,
    measures={
        **{f"mae_{name}": Measure(f"mean absolute {name}", _single(i)) for i, name in enumerate(PRINTED)},
        "geodesic": Measure("geodesic", lambda predictions, true: float(geodesic_error(predictions, true).mean())),
    },
    references={"mean_predictor_error": mean_reference(KEYS, mean_angle_error)},
    convention="head to camera: Ry(yaw) Rx(pitch) Rz(roll); x right, y down, z away from the camera; the face points "
    "along (-cos(pitch) sin(yaw), -sin(pitch), -cos(pitch) cos(yaw))",
)
