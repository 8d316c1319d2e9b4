"""Gaze directions: pitch and yaw, unit vectors, and the angle between two of them.

The one convention of gazenas, that of ETH-XGaze (Zhang et al., ECCV 2020): angles are ``(pitch, yaw)`` in
radians in the normalized camera frame (x right, y down, z away from the camera), and

    v = (-cos(pitch) sin(yaw), -sin(pitch), -cos(pitch) cos(yaw)).

Looking up is positive pitch, looking toward the image's left is positive yaw, ``(0, 0)`` looks into the
camera. A mirrored image has the opposite yaw and the same pitch.

Every function takes numpy arrays or torch tensors and answers in kind; torch is never imported for numpy input.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

Array = TypeVar("Array")


def _namespace(array: Any) -> ModuleType:
    """numpy or torch, whichever made ``array``."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return torch
    return np


def angles_to_vectors(angles: Array) -> Array:
    """Unit gaze vectors of ``(pitch, yaw)`` angles.

    Args:
        angles: ``(..., 2)`` pitch and yaw in radians.

    Returns:
        ``(..., 3)`` unit vectors (x right, y down, z away from the camera).
    """
    values: Any = angles
    xp = _namespace(values)
    pitch, yaw = values[..., 0], values[..., 1]
    parts = [-xp.cos(pitch) * xp.sin(yaw), -xp.sin(pitch), -xp.cos(pitch) * xp.cos(yaw)]
    stacked: Array = xp.stack(parts, -1)
    return stacked


def vectors_to_angles(vectors: Array) -> Array:
    """``(pitch, yaw)`` of gaze vectors of any positive length; the inverse of :func:`angles_to_vectors`.

    Args:
        vectors: ``(..., 3)`` directions (x right, y down, z away from the camera).

    Returns:
        ``(..., 2)`` radians: pitch in [-pi/2, pi/2], yaw in [-pi, pi].
    """
    values: Any = vectors
    xp = _namespace(values)
    x, y, z = values[..., 0], values[..., 1], values[..., 2]
    pitch = xp.arctan2(-y, xp.sqrt(x * x + z * z))
    yaw = xp.arctan2(-x, -z)
    stacked: Array = xp.stack([pitch, yaw], -1)
    return stacked


def angular_error(prediction: Array, target: Array) -> Array:
    """The angle in degrees between predicted and true gaze directions.

    Computed as ``atan2(|a x b|, a . b)``, which is exact at 0 and at 180 degrees and needs no clamp.

    Args:
        prediction: ``(N, 2)`` pitch and yaw in radians, or ``(N, 3)`` vectors of any positive length.
        target: as ``prediction``; one may hold angles and the other vectors.

    Returns:
        ``(N,)`` degrees in [0, 180].

    Raises:
        ValueError: where a last dimension is neither 2 nor 3.
    """
    a: Any = _as_vectors(prediction, "prediction")
    b: Any = _as_vectors(target, "target")
    xp = _namespace(a)
    cross = xp.stack(
        [
            a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1],
            a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
            a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0],
        ],
        -1,
    )
    sine = xp.sqrt((cross * cross).sum(-1))
    degrees: Array = xp.rad2deg(xp.arctan2(sine, (a * b).sum(-1)))
    return degrees


def _as_vectors(values: Any, name: str) -> Any:
    if _namespace(values) is np:
        values = np.asarray(values)
    if values.shape[-1] == 2:
        return angles_to_vectors(values)
    if values.shape[-1] == 3:
        return values
    raise ValueError(f"{name}: expected (N, 2) angles or (N, 3) vectors, found shape {tuple(values.shape)}")
