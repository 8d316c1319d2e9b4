"""Numbers that stay with a face from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gazenas.faces.face import NEW, Face

NEAR, ALIKE = 0.75, 1.6  # mean sides that a face moves at most while nobody followed it; times that its size changes
REMEMBERED = 30  # frames for which a face that was lost keeps its number


class Tracker:
    """Gives numbers to faces, from 0: the finder's where it followed one, else that of the nearest of its size."""

    def __init__(self) -> None:
        self._next = 0
        self._seen: dict[int, tuple[Face, int]] = {}  # by number, how it was seen last, and how many frames ago
        self.faces: list[Face] = []

    def __call__(self, faces: Sequence[Face]) -> list[Face]:
        """The faces of the next frame with their numbers, in their order."""
        self._seen = {id: (face, age + 1) for id, (face, age) in self._seen.items() if age < REMEMBERED}
        self._next = max([self._next, *(face.id + 1 for face in faces)])
        followed = {face.id for face in faces if face.id != NEW}
        pairs = sorted(
            (
                (_apart(face, seen), index, id)
                for index, face in enumerate(faces)
                if face.id == NEW
                for id, (seen, _) in self._seen.items()
                if id not in followed
            )
        )
        given: dict[int, int] = {}
        for apart, index, id in pairs:
            if apart < NEAR and index not in given and id not in given.values():
                given[index] = id
        self.faces = [
            face if face.id != NEW else replace(face, id=given[index] if index in given else self._new())
            for index, face in enumerate(faces)
        ]
        self._seen |= {face.id: (face, 0) for face in self.faces}
        return self.faces

    def _new(self) -> int:
        self._next += 1
        return self._next - 1


def _apart(face: Face, seen: Face) -> float:
    """Distance of two boxes in their mean sides; infinite where their sizes are too different for one face."""
    sides = np.sqrt([max(float(each.box[2] * each.box[3]), 1e-9) for each in (face, seen)])
    if sides.max() > ALIKE * sides.min():
        return float("inf")
    middles = [each.box[:2] + each.box[2:] / 2 for each in (face, seen)]
    return float(np.linalg.norm(middles[0] - middles[1]) / sides.mean())
