"""One image of a photo, a film or a camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gazenas.faces.face import Face

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB, or None where it cannot be read.
        number: in the source, from 0.
        time: in seconds.
        source: the file.
        film_focal: 35-mm equivalent focal length in mm that its file states, or 0.
        reason: why there is no image.
        faces: known beforehand; the finder is not asked then.
    """

    image: Pixels | None
    number: int = 0
    time: float = 0.0
    source: str = ""
    film_focal: float = 0.0
    reason: str = ""
    faces: Sequence[Face] | None = None
