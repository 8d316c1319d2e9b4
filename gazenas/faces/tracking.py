"""Numbers that stay with a face from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gazenas.faces.face import NEW, Face, overlap

SAME_FACE = 0.3  # overlap of two boxes, in frames that follow one another, that are one face
REMEMBERED = 30  # frames for which a face that was lost keeps its number


class Tracker:
    """Gives numbers to faces, from 0: the finder's where it followed one, else by the overlap of boxes."""

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
                (overlap(face.box, seen.box), index, id)
                for index, face in enumerate(faces)
                if face.id == NEW
                for id, (seen, _) in self._seen.items()
                if id not in followed
            ),
            reverse=True,
        )
        given: dict[int, int] = {}
        for shared, index, id in pairs:
            if shared >= SAME_FACE and index not in given and id not in given.values():
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
