"""Where on the screen the dots of a measurement are, always the same for the same person, session and number."""

from __future__ import annotations

import math
import zlib

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.errors import InputError

EDGE = 0.04  # of the screen's sides, from the outermost dots to its edges
GRIDS = (4, 5, 9, 13, 16, 25)


def check_dots(count: int) -> None:
    """Whether there is such a grid; 0 is none, dots anywhere.

    Raises:
        InputError: where there is not.
    """
    if count not in (0, *GRIDS):
        raise InputError(f"--dots: expected 0 (anywhere) or one of {', '.join(map(str, GRIDS))}, found {count}")


def dot_place(name: str, number: int, count: int) -> Floats:
    """``(2,)`` shares of the screen's width and height, from its top left corner.

    Args:
        name: of the measurement.
        number: of the picture in it, from 0.
        count: of dots in a grid that is gone through again and again, in another order each time; 0 for places drawn
            anew.
    """
    seed = zlib.crc32(name.encode())
    if not count:
        place: Floats = np.random.default_rng([seed, number]).uniform(EDGE, 1 - EDGE, 2)
        return place
    around, within = divmod(number, count)
    order = np.random.default_rng([seed, around]).permutation(count)
    shared: Floats = EDGE + (1 - 2 * EDGE) * _grid(count)[order[within]]
    return shared


def _grid(count: int) -> Floats:
    """``(count, 2)`` from 0 to 1: a square of dots, or a square with a dot in the middle of each cell."""
    side = math.isqrt(count)
    if side * side == count:
        return _square(side, 0.0, 1.0)
    side = next(side for side in range(2, count) if side**2 + (side - 1) ** 2 == count)
    half = 0.5 / (side - 1)
    return np.concatenate([_square(side, 0.0, 1.0), _square(side - 1, half, 1 - half)])


def _square(side: int, low: float, high: float) -> Floats:
    line = np.linspace(low, high, side) if side > 1 else np.array([(low + high) / 2])
    return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
