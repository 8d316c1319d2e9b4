"""Steady directions: the one-euro filter (Casiez, Roussel, Vogel, CHI 2012) on unit vectors."""

from __future__ import annotations

import numpy as np

from gazenas.data.arrays import Floats

MIN_CUTOFF, SLOPE, SPEED_CUTOFF = 1.0, 1.5, 1.0  # Hz of a still gaze, Hz a radian per second, Hz for its speed


class OneEuro:
    """Smooths one direction: the faster it turns, the less."""

    def __init__(self) -> None:
        self._direction: Floats | None = None
        self._speed, self._time = np.zeros(3), 0.0

    def __call__(self, direction: Floats, time: float) -> Floats:
        """``(3,)`` smoothed unit vector.

        Args:
            direction: ``(3,)`` unit vector.
            time: in seconds; one that does not go on, or was left off for more than a second, begins anew.
        """
        passed = time - self._time
        self._time = time
        if self._direction is None or not 0 < passed <= 1:
            self._direction, self._speed = direction, np.zeros(3)
            return direction
        speed = (direction - self._direction) / passed
        self._speed = self._speed + _share(SPEED_CUTOFF, passed) * (speed - self._speed)
        cutoff = MIN_CUTOFF + SLOPE * float(np.linalg.norm(self._speed))
        moved = self._direction + _share(cutoff, passed) * (direction - self._direction)
        length = float(np.linalg.norm(moved))
        self._direction = moved / length if length > 1e-6 else direction
        return self._direction


SMOOTHINGS: dict[str, type[OneEuro] | None] = {"none": None, "one-euro": OneEuro}


def _share(cutoff: float, passed: float) -> float:
    """Of a change, how much a low-pass filter of that frequency takes over after ``passed`` seconds."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * passed))
