"""Screens out of files."""

from __future__ import annotations

from typing import Any

import numpy as np

from gazenas.data.normalization.cameras import finite_array
from gazenas.data.normalization.geometry import Screen


def parse_screen(entry: Any) -> Screen:
    """A screen of ``{"rotation": 3 x 3, "translation": [x, y, z], "pixel": [width, height]}``: from its frame to the
    camera's, its top left corner there and the size of a pixel, mm.

    Raises:
        ValueError: where something else was given.
    """
    values = entry if isinstance(entry, dict) else {}
    rotation = finite_array(values.get("rotation"), (3, 3), "rotation")
    translation = finite_array(values.get("translation"), (3,), "translation")
    pixel = finite_array(values.get("pixel"), (2,), "pixel")
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
        raise ValueError(f"rotation: expected a rotation, found {rotation.tolist()}")
    if pixel.min() <= 0:
        raise ValueError(f"pixel: expected lengths above 0, found {pixel.tolist()}")
    return Screen(rotation, translation, pixel)
