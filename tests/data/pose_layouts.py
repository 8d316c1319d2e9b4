"""Writes rendered heads as 300W-LP and AFLW2000 have theirs, straight from the published description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

Array = np.ndarray[Any, Any]
UP = np.diag([1.0, -1.0, -1.0])  # between x right, y down, z away, and x right, y up, z toward the viewer


def rotation(pitch: float, yaw: float, roll: float) -> Array:
    """Rx(pitch) Ry(yaw) Rz(roll), each the transpose of the usual right-handed matrix, seen from our camera frame."""

    def about(axis: int, angle: float) -> Array:
        first, second = [i for i in range(3) if i != axis]
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        return (turn if axis != 1 else turn.T).T

    return UP @ about(0, pitch) @ about(1, yaw) @ about(2, roll) @ UP


def write_pose(path: Path, image: Array, angles: Array, points: Array, **change: Any) -> None:
    """A picture and its ``.mat``; ``change`` replaces fields, or leaves out those that are None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path.with_suffix(".jpg"), quality=95)
    fields = {"Pose_Para": np.concatenate([angles, [0, 0, 0, 1e-3]])[None], "pt2d": points, "roi": np.zeros(4)}
    savemat(path.with_suffix(".mat"), {key: value for key, value in (fields | change).items() if value is not None})
