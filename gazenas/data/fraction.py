"""A part of the training images, for a trial on a large data set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gazenas.data.dataset import GazeFolder, plural
from gazenas.errors import InputError


def keep_fraction(folder: GazeFolder, fraction: float, seed: int) -> GazeFolder:
    """A folder whose training images are a part of those of another, the same part of each person's and at least one.

    Nobody leaves, and whoever validates or is tested keeps all images.

    Args:
        folder: its splits are left as they are.
        fraction: more than 0 and at most 1, which changes nothing.
        seed: of the draw.

    Raises:
        InputError: where ``fraction`` is out of range.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"--fraction: expected more than 0 and at most 1, found {fraction:g}")
    if fraction == 1:
        return folder
    train, rng = folder.split("train"), np.random.default_rng(seed)
    kept = []
    for rows in train.rows_by_group():
        kept.append(rng.permutation(rows)[: max(1, round(fraction * len(rows)))])
    rows = np.sort(np.concatenate(kept))  # files are read from their beginning to their end
    note = (
        f"fraction {fraction:g}: {len(rows):,} of {len(train):,} training images, the same part of each of "
        f"{len(train.people)} {plural(folder.group)}, drawn by seed {seed}"
    )
    splits = folder.splits | {"train": train.at(rows, "train")}
    return replace(folder, splits=splits, notes=[*folder.notes, note])
