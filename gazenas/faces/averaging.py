"""The mean of what a network answers about a patch and about others that show the same face.

A landmark finder puts a face into its patch with some hundredths to spare, and a small network's answer moves by
degrees with it. The mean over moves of that size moves less, and is off by less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gazenas.faces.estimators import Estimator

SHIFT = 0.02  # of the patch's side
MIRRORED = np.array([1.0, -1.0])  # pitch and yaw of a mirrored face
Moves = Sequence[tuple[int, int]]  # SHIFTs down and to the right
AVERAGES: Mapping[str, Moves] = {
    "mirror": ((0, 0),),
    "moves": ((0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)),
}


class AveragedEstimator:
    """Asks a network about each patch and its mirror image, each moved in every way, and averages: twice as many
    questions as moves.

    Args:
        estimator: that is asked, about everything at once.
        moves: such as those of ``AVERAGES``.
    """

    def __init__(self, estimator: Estimator, moves: Moves) -> None:
        self.input_size, self.metadata = estimator.input_size, estimator.metadata
        self._ask, self._moves = estimator, moves

    def __call__(self, faces: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """As :class:`gazenas.faces.estimators.Estimator` says."""
        step = shift_of(faces)
        moved = [moved_by(faces, step * down, step * right) for down, right in self._moves]
        answers = self._ask(np.concatenate([*moved, *(each[:, :, ::-1] for each in moved)]))
        plain, mirrored = answers.reshape(2, len(moved), len(faces), 2)
        angles: NDArray[np.float32] = ((plain + mirrored * MIRRORED.astype(np.float32)) / 2).mean(0)
        return angles


def shift_of(patches: NDArray[np.uint8]) -> int:
    """``SHIFT`` in whole pixels of ``(N, S, S, 3)`` patches, at least one."""
    return max(1, round(SHIFT * int(patches.shape[1])))


def moved_by(patches: NDArray[np.uint8], down: int, right: int) -> NDArray[np.uint8]:
    """``(N, S, S, 3)`` patches whose content is moved by so many pixels; their edges are drawn out."""
    size = patches.shape[1]
    rows, columns = (np.clip(np.arange(size) - by, 0, size - 1) for by in (down, right))
    return patches[:, rows][:, :, columns]
