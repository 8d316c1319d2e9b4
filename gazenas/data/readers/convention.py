"""Conventions of gaze labels other than this package's own: what they are, which one labels fit, how to leave them.

This package's is ``(pitch, yaw)`` in radians, looking up and toward the image's left positive (:mod:`gazenas.gaze`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.gaze import angular_error

AGREEMENT = 0.1  # degrees between a row's vector and its angles


def _turned(swap: bool, pitch: int, yaw: int) -> Callable[[Floats], Floats]:
    def turn(angles: Floats) -> Floats:
        turned: Floats = (angles[:, ::-1] if swap else angles) * np.array([pitch, yaw])
        return turned

    return turn


CONVENTIONS: dict[str, Callable[[Floats], Floats]] = {
    ", ".join(
        (["yaw and pitch swapped"] if swap else [])
        + (["the sign of pitch flipped"] if pitch < 0 else [])
        + (["the sign of yaw flipped"] if yaw < 0 else [])
    )
    or "as read": _turned(swap, pitch, yaw)
    for swap in (False, True)
    for pitch in (1, -1)
    for yaw in (1, -1)
}
"""What labels may have had done to them, and the function that undoes it."""


def flipped(angles: Floats, flip: str) -> Floats:
    """``(N, 2)`` pitch and yaw with the signs of those named in ``flip`` turned."""
    turned: Floats = angles * np.array([-1.0 if "pitch" in flip else 1.0, -1.0 if "yaw" in flip else 1.0])
    return turned


def best_convention(angles: Floats, vectors: Floats) -> tuple[str, float]:
    """Which convention makes angles agree best with vectors, and by how many degrees they then differ in the median.

    Args:
        angles: ``(N, 2)`` as they were read, taken for radians.
        vectors: ``(N, 3)`` in this package's frame.
    """
    errors = {}
    for name, undo in CONVENTIONS.items():
        errors[name] = float(np.median(angular_error(undo(angles), vectors)))
        degrees = undo(np.deg2rad(angles))
        errors[f"degrees, {name}"] = float(np.median(angular_error(degrees, vectors)))
    best = min(errors, key=lambda name: errors[name])
    return best, errors[best]
