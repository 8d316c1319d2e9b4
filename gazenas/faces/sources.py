"""Where frames come from: an image, a folder or a pattern of them, a film, a camera."""

from __future__ import annotations

import glob
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gazenas.data.pictures import read_photo
from gazenas.errors import InputError
from gazenas.faces.frame import Frame

PHOTOS, FILM, CAMERA = "photos", "film", "camera"
USUAL_FPS = 30.0
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".mpo", ".avif", ".jp2")


class Source:
    """Frames one after another.

    Attributes:
        kind: ``photos``, ``film`` or ``camera``.
        name: as it was given.
        count: of frames, 0 where that is not known.
        fps: of a film; 0 of photos.
        size: width and height of a film's frames.
    """

    def __init__(self, name: str, kind: str, *, paths: Sequence[tuple[str, Path]] = (), capture: Any = None) -> None:
        self.name, self.kind, self._paths, self._capture = name, kind, paths, capture
        self.count, self.fps, self.size = len(paths), 0.0, (0, 0)
        if capture is not None:
            import cv2

            stated = float(capture.get(cv2.CAP_PROP_FPS))
            self.fps = stated if np.isfinite(stated) and 0 < stated <= 1000 else USUAL_FPS
            frames = capture.get(cv2.CAP_PROP_FRAME_COUNT) if kind == FILM else 0
            self.count = max(0, int(frames)) if np.isfinite(frames) else 0
            self.size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))

    def frames(self, *, every: int = 1, most: int = 0) -> Iterator[Frame]:
        """Each frame in turn; one that cannot be read has no image and says why.

        Args:
            every: only each n-th.
            most: of those; 0 for all.

        Raises:
            InputError: where a film or a camera gives no frame at all.
        """
        for taken, frame in enumerate(self._photos(every) if self._capture is None else self._film(every)):
            if most and taken == most:
                return
            yield frame

    def close(self) -> None:
        """Gives the camera or the file back."""
        if self._capture is not None:
            self._capture.release()

    def _photos(self, every: int) -> Iterator[Frame]:
        for number, (name, path) in list(enumerate(self._paths))[::every]:
            try:
                image, film_focal = read_photo(path)
            except InputError as error:
                yield Frame(None, number, 0.0, name, reason=str(error))
            else:
                yield Frame(image, number, 0.0, name, film_focal)

    def _film(self, every: int) -> Iterator[Frame]:
        import cv2

        begun, number = time.monotonic(), 0
        while True:
            there, pixels = self._capture.read()
            if not there or pixels is None:
                break
            if number % every == 0:
                stated = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
                known = stated if np.isfinite(stated) and (stated > 0 or number == 0) else number / self.fps
                passed = time.monotonic() - begun if self.kind == CAMERA else known
                if pixels.ndim == 2:
                    pixels = np.stack([pixels] * 3, -1)
                yield Frame(np.ascontiguousarray(pixels[..., 2::-1]), number, passed, self.name)
            number += 1
        if number == 0:
            raise InputError(f"{self.name}: expected a {self.kind} with frames, found none")
        if number < self.count:
            missing = f"{self.name}: says {self.count} frames, {number} of which can be read"
            yield Frame(None, number, number / self.fps, self.name, reason=missing)


def open_source(name: str) -> Source:
    """What a word of the command line stands for.

    Args:
        name: a number is a camera's; else an image, a folder or a pattern (``*``) of images, or a film.

    Raises:
        InputError: where there is no such thing, or it holds no image.
    """
    if name.isdecimal():
        return Source(name, CAMERA, capture=_captured(int(name), f"camera {name}"))
    path = Path(name)
    if path.is_dir():
        inside = sorted(each for each in path.iterdir() if each.is_file() and each.suffix.lower() in PICTURES)
        if not inside:
            raise InputError(f"{path}: expected a folder with images, found none in it")
        return Source(name, PHOTOS, paths=[(each.name, each) for each in inside])
    if not path.exists():
        found = sorted(Path(each) for each in glob.glob(name, recursive=True) if Path(each).is_file())
        if not found:
            raise InputError(
                f"{name}: expected an image, a folder, a pattern, a film or a camera's number, found no file"
            )
        return Source(name, PHOTOS, paths=[(str(each), each) for each in found])
    if _is_picture(path):
        return Source(name, PHOTOS, paths=[(name, path)])
    if path.stat().st_size == 0:
        raise InputError(f"{name}: expected an image or a film, found an empty file")
    return Source(name, FILM, capture=_captured(name, f"{name}: an image or a film"))


def _is_picture(path: Path) -> bool:
    """By its ending, or by its first bytes."""
    if path.suffix.lower() in PICTURES:
        return True
    try:
        with Image.open(path):
            return True
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def _captured(which: int | str, what: str) -> Any:
    try:
        import cv2
    except ModuleNotFoundError:
        raise InputError(f"expected {what}, which needs opencv: pip install 'gazenas[video]'") from None
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)  # what it cannot open is said below
    capture = cv2.VideoCapture(which)
    if not capture.isOpened():
        raise InputError(f"expected {what}, found one that cannot be opened")
    return capture
