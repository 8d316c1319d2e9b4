"""Faces that compression needs: of training people to record ranges on, of validation people to measure losses on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from gazenas.compression.gate import Reference
from gazenas.data.dataset import GazeFolder, GazeSplit
from gazenas.data.loader import normalize
from gazenas.errors import InputError


def calibration_faces(folder: GazeFolder, count: int, seed: int) -> tuple[NDArray[np.float32], str]:
    """``(N, 3, S, S)`` normalized faces of training people, at most ``count``, and a sentence on where they are
    from."""
    train = folder.split("train")
    faces = train.images(drawn_rows(train, count, seed))
    source = f"{len(faces)} faces of {len(train.people)} training people of {folder.folder.name}"
    return normalize(torch.from_numpy(faces)).numpy(), source


def validation_reference(folder: GazeFolder, model: bytes, count: int, seed: int) -> Reference:
    """A float file beside at most ``count`` labeled faces of validation people.

    Raises:
        InputError: where these carry no labels.
    """
    val = folder.split("val")
    if val.gaze is None:
        raise InputError(f"{folder.folder}: val: expected labeled faces, found faces without labels")
    rows = drawn_rows(val, count, seed)
    return Reference(model, val.images(rows), val.gaze[rows])


def drawn_rows(split: GazeSplit, count: int, seed: int) -> NDArray[np.int64]:
    """Some rows of a split, drawn and in order."""
    drawn = np.random.default_rng(seed).choice(len(split), min(count, len(split)), replace=False)
    return np.sort(drawn)
