"""Image files and arrays as uint8 RGB of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from gazenas.data.dataset import Images
from gazenas.data.normalization.cameras import film_focal_of
from gazenas.errors import InputError

T = TypeVar("T")


def read_picture(path: Path, size: int = 0) -> NDArray[np.uint8]:
    """``(H, W, 3)`` RGB of a JPEG or PNG file, turned as its EXIF orientation says, resized to a square of ``size``
    where that is not 0.

    Raises:
        InputError: where the file is absent, is no image, is cut off or has another side than expected.
    """
    return _open_picture(path, lambda picture: resized(_as_rgb(ImageOps.exif_transpose(picture)), size))


def read_photo(path: Path) -> tuple[NDArray[np.uint8], float]:
    """As :func:`read_picture`, and the 35-mm equivalent focal length in mm that its EXIF states, 0 where it states
    none.

    Raises:
        InputError: as there.
    """

    def read(picture: Image.Image) -> tuple[NDArray[np.uint8], float]:
        focal = film_focal_of(picture)
        return resized(_as_rgb(ImageOps.exif_transpose(picture)), 0), focal

    return _open_picture(path, read)


def _as_rgb(picture: Image.Image) -> Image.Image:
    """Any picture as RGB: gray ones three times, 16 bits as 8, transparency left out."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    return picture.convert("RGB")


def _open_picture(path: Path, read: Callable[[Image.Image], T]) -> T:
    try:
        with Image.open(path) as picture:
            return read(picture)
    except FileNotFoundError:
        raise InputError(f"{path}: no such image") from None
    except IsADirectoryError:
        raise InputError(f"{path}: expected an image, found a folder") from None
    except UnidentifiedImageError:
        raise InputError(f"{path}: expected an image, found {path.stat().st_size} bytes of something else") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be decoded: {error}") from error


def resized(picture: Image.Image, size: int) -> NDArray[np.uint8]:
    """The picture as an array, resized to ``size`` x ``size`` with an antialiasing filter where it differs."""
    if size and picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8)


def picture_side(root: Path, paths: Sequence[str], tries: int = 20) -> int:
    """The longer side of the first of some image files that can be opened, without decoding it.

    Raises:
        InputError: where the first ``tries`` are all absent or no images.
    """
    reasons = []
    for path in paths[:tries]:
        try:
            with Image.open(root / path) as picture:
                return max(picture.size)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reasons.append(f"{root / path}: expected an image, by which to know the size of all: {error}")
    raise InputError(f"{reasons[0]} (and {len(reasons) - 1} more)")


class PictureFiles:
    """Image files by row, decoded when they are asked for.

    Args:
        root: what the paths begin with.
        paths: by row, relative to ``root``.
        size: side to which they are resized where they differ.
    """

    def __init__(self, root: Path, paths: Sequence[str], size: int) -> None:
        self.root, self.paths, self.size = root, paths, size

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(n, S, S, 3)`` RGB at ``rows``.

        Raises:
            InputError: naming the file that cannot be read.
        """
        images = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        for index, row in enumerate(rows):
            images[index] = read_picture(self.root / self.paths[int(row)], self.size)
        return images

    def name(self, row: int) -> str:
        """The file, relative to the image folder."""
        return self.paths[row]


class ResizedImages:
    """Another reader's images at another size."""

    def __init__(self, source: Images, size: int) -> None:
        self.source, self.size = source, size

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(n, size, size, 3)`` RGB."""
        images = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        for index, image in enumerate(self.source(rows)):
            images[index] = resized(Image.fromarray(image), self.size)
        return images

    def name(self, row: int) -> str:
        """Where the row comes from."""
        return self.source.name(row)


class CutPictures:
    """Faces cut out of picture files by row: black outside the picture, the middle square of the cut.

    Args:
        root: what the paths begin with.
        paths: by row, relative to ``root``.
        boxes: ``(N, 4)`` left, top, right, bottom in pixels.
        size: of the images.
    """

    def __init__(self, root: Path, paths: Sequence[str], boxes: NDArray[np.float64], size: int) -> None:
        self.root, self.paths, self.boxes, self.size = root, paths, boxes, size

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(n, S, S, 3)`` RGB at ``rows``.

        Raises:
            InputError: naming the file that cannot be read.
        """
        images = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        for index, row in enumerate(rows):
            left, top, right, bottom = (int(side) for side in self.boxes[row])
            inset = (right - left - (bottom - top)) // 2
            left, right = (left + inset, right - inset) if inset > 0 else (left, right)
            top, bottom = (top - inset, bottom + inset) if inset < 0 else (top, bottom)
            picture = Image.fromarray(read_picture(self.root / self.paths[row])).crop((left, top, right, bottom))
            images[index] = np.asarray(picture.resize((self.size, self.size), Image.Resampling.BILINEAR), np.uint8)
        return images

    def name(self, row: int) -> str:
        """The file."""
        return self.paths[row]
