"""Where the images lie that a label file names: programs differ in whether paths begin at ``Image/`` or inside its
split folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gazenas.errors import InputError

IMAGE_FOLDERS = ("Image", "Images", "image", "images")
TRIES = 20  # images of a label file that are looked for


def find_images(folder: Path, part: str, paths: Sequence[str]) -> tuple[Path, str]:
    """The folder that holds the images of a part, and what is to be put before each path inside it.

    Looked through in turn: ``Image/``, ``Image/PART/``, the folder itself, ``PART/``; the one with most of some images
    wins.

    Args:
        folder: of the data set.
        part: of the data set, such as ``train``.
        paths: as the label file names them.

    Raises:
        InputError: where none of the images is anywhere, saying where they were looked for.
    """
    roots = [folder / name for name in IMAGE_FOLDERS if (folder / name).is_dir()]
    candidates = [(root, inside) for root in [*roots, folder] for inside in ("", f"{part}/")]
    some = [paths[row] for row in np.unique(np.linspace(0, len(paths) - 1, TRIES).round().astype(int))]
    counts = [sum((root / f"{inside}{path}").is_file() for path in some) for root, inside in candidates]
    if not max(counts):
        looked = ", ".join(str(root / inside) for root, inside in candidates)
        raise InputError(
            f"{folder}: {part}: expected images such as {some[0]}, found none of {len(some)}; looked in {looked}"
        )
    return candidates[counts.index(max(counts))]
