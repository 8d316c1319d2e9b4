"""A face in an image, and what finds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gazenas.data.arrays import Floats
from gazenas.faces.face_models import FaceModel

NEW = -1  # the id of a face that nobody has given one yet


@dataclass(frozen=True)
class Face:
    """One face.

    Image positions are OpenCV's: the middle of the first pixel is (0, 0).

    Attributes:
        box: ``(4,)`` left, top, width and height in pixels.
        score: how sure the finder is, 0 to 1.
        landmarks: ``(n, 2)`` image positions, in the order that the finder's face model counts them; ``(0, 2)`` of a
            face of which the box alone is known.
        irises: ``(2, 2)`` centers of the irises, the one at the image's left of a face seen from the front first; None
            where they were not looked for.
        id: the same number for the same face from frame to frame; ``NEW`` where it is not known yet.
    """

    box: Floats
    score: float
    landmarks: Floats
    irises: Floats | None = None
    id: int = NEW


class Finder(Protocol):
    """Finds faces, and follows those of the frame before.

    Attributes:
        face_model: in 3-D, what its landmarks are landmarks of.
    """

    face_model: FaceModel

    def __call__(self, image: NDArray[np.uint8], before: Sequence[Face]) -> list[Face]:
        """Faces of an ``(H, W, 3)`` RGB image.

        Args:
            image: uint8.
            before: the faces of the frame before, none where there was no such frame. A face that was followed from
                one of them has its id.
        """
        ...


@runtime_checkable
class BoxFinder(Finder, Protocol):
    """A finder that can be told where a face is."""

    def within(self, image: NDArray[np.uint8], box: Floats) -> Face | None:
        """The face whose middle is within a box of an ``(H, W, 3)`` RGB image, None where there is none.

        Args:
            image: uint8.
            box: ``(4,)`` left, top, width and height in pixels, about a face.
        """
        ...


def box_around(landmarks: Floats) -> Floats:
    """``(4,)`` left, top, width and height of ``(n, 2)`` points."""
    low, high = landmarks.min(0), landmarks.max(0)
    return np.concatenate([low, high - low])


def overlap(first: Floats, second: Floats) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    low = np.maximum(first[:2], second[:2])
    high = np.minimum(first[:2] + first[2:], second[:2] + second[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / max(float(np.prod(first[2:]) + np.prod(second[2:])) - shared, 1e-9)
