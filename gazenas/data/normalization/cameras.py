"""Cameras out of files, out of what a photo says of its lens, and guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from gazenas.data.arrays import Floats
from gazenas.data.normalization.geometry import Camera
from gazenas.errors import InputError
from gazenas.files import read_json

FILM_DIAGONAL = 43.27  # mm, of the 36 x 24 mm frame in which 35-mm equivalent focal lengths are stated (CIPA DCG-001)


def finite_array(value: Any, shape: tuple[int, ...], what: str) -> Floats:
    """An array of that shape.

    Raises:
        ValueError: where the value is none, or a number in it is not finite; begins with ``what``.
    """
    try:
        array = np.array(value, np.float64)
    except (ValueError, TypeError):
        raise ValueError(f"{what}: expected numbers of shape {shape}, found {str(value)[:60]!r}") from None
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{what}: expected finite numbers of shape {shape}, found shape {array.shape}")
    return array


def parse_camera(entry: Any, where: str) -> Camera:
    """A camera of ``{"matrix": 3 x 3, "distortion": [k1, k2, p1, p2[, k3]]}``.

    Raises:
        InputError: where something else was given; begins with ``where``.
    """
    try:
        matrix = finite_array(entry.get("matrix") if isinstance(entry, dict) else None, (3, 3), "matrix")
        bends = np.array(entry.get("distortion", []), np.float64).ravel()
        if bends.size not in (0, 4, 5) or not np.isfinite(bends).all():
            raise ValueError(f"distortion: expected 4 or 5 finite numbers or none, found {bends.tolist()}")
        if not (matrix[0, 0] > 0 and matrix[1, 1] > 0 and matrix[1, 0] == 0) or not np.allclose(matrix[2], [0, 0, 1]):
            raise ValueError(
                "matrix: expected focal lengths above 0, a 0 below the first one and a last row of 0, 0, 1, found "
                f"{matrix.tolist()}"
            )
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: {error}") from error
    return Camera(matrix, bends)


def read_camera(path: Path) -> Camera:
    """A camera out of a JSON file that holds what :func:`parse_camera` takes.

    Raises:
        InputError: where the file is absent or holds something else.
    """
    return parse_camera(read_json(path), str(path))


def check_camera(camera: Camera, width: int, height: int, where: str) -> None:
    """Whether a camera can have taken an image of that size.

    Raises:
        InputError: where its principal point lies beside the image.
    """
    x, y = camera.matrix[:2, 2]
    if not (0 <= x < width and 0 <= y < height):
        raise InputError(
            f"{where}: expected a principal point within the {width} x {height} pixels of the image, found "
            f"({x:g}, {y:g}); was the camera calibrated at another size?"
        )


def assume_camera(width: int, height: int, film_focal: float = 0.0) -> Camera:
    """A camera that looks through the middle of its image, without distortion.

    Args:
        width, height: of the image in pixels.
        film_focal: 35-mm equivalent focal length in mm; 0 where it is not known: the focal length is then the longer
            side, a view of 53 degrees along it.
    """
    focal = film_focal / FILM_DIAGONAL * float(np.hypot(width, height)) if film_focal > 0 else float(max(width, height))
    return Camera(np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]]), np.zeros(0))


def film_focal_of(picture: Image.Image) -> float:
    """The 35-mm equivalent focal length in mm that a photo's EXIF states, 0 where it states none."""
    try:
        stated = picture.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm, 0)
        focal = float(stated)
    except (TypeError, ValueError, ZeroDivisionError, SyntaxError, OSError):
        return 0.0  # damaged EXIF says nothing of the lens, and the image itself may be whole
    return focal if 1 <= focal < 10_000 else 0.0
