"""Errors of a network on people in sessions, with its BatchNorms as stored, of each batch, or of a few images each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.data.dataset import GazeSplit
from gazenas.evaluation.calibration import personal_statistics, with_change
from gazenas.evaluation.protocols.folds import Fold
from gazenas.files import write_records
from gazenas.gaze import angular_error
from gazenas.models.zoo import GazeModel
from gazenas.training.batch_statistics import SESSION_BATCH, predict_by_session
from gazenas.training.loop import predict_split

Errors = NDArray[np.float64]
STORED, BATCH = "statistics of the training", "of each batch"


def adapted_errors(network: GazeModel, split: GazeSplit, *, images: int, seed: int) -> dict[str, Errors]:
    """By way, ``(N,)`` angles in degrees between answers and labels; not a number where an image was not answered.

    Args:
        network: in eval mode, left as it is.
        split: with gaze labels, and sessions; people stand for these where they are unknown.
        images: how many of a session statistics are estimated on for the third way, at most half of it; the others
            are answered.
        seed: of their draw.
    """
    assert split.gaze is not None, "expected gaze labels"
    rng, few = np.random.default_rng(seed), np.full(len(split), np.nan)
    for own in split.rows_by_group(by_session=True):
        rows = rng.permutation(own)
        count = min(images, len(rows) // 2)
        if count >= 2:
            change = personal_statistics(network, split.faces(np.sort(rows[:count]), network.inputs), 0.0)
            others = np.sort(rows[count:])
            answers = with_change(network, change, split.faces(others, network.inputs))
            few[others] = angular_error(answers, split.gaze[others])
    stored = predict_split(network, split, device=str(next(network.parameters()).device))
    together = predict_by_session(network, split, inputs=network.inputs)
    return {
        STORED: angular_error(stored, split.gaze),
        f"{BATCH} of {SESSION_BATCH}": angular_error(together, split.gaze),
        f"of {images} images of the session": few,
    }


def report_adaptation(out: Path, fold: Fold, network: GazeModel, *, images: int, seed: int) -> list[dict[str, Any]]:
    """A table of a fold's test side by way and subset; writes ``adapted.csv``.

    Args:
        out: of the protocol.
        fold: with sessions in its test side, and subsets.
        network: that the fold's training left behind.
        images, seed: as for :func:`adapted_errors`.
    """
    rows = adaptation_table(adapted_errors(network, fold.test, images=images, seed=seed), fold.subsets)
    write_records(out / "adapted.csv", rows)
    return rows


def adaptation_table(errors: Mapping[str, Errors], subsets: Mapping[str, NDArray[np.bool_]]) -> list[dict[str, Any]]:
    """A row a way and subset: how many images were answered, and their mean error in degrees, None without any."""
    rows = []
    for way, values in errors.items():
        for subset, mask in subsets.items():
            answered = values[mask & ~np.isnan(values)]
            mean = float(answered.mean()) if len(answered) else None
            rows.append({"statistics": way, "subset": subset, "images": len(answered), "mean_deg": mean})
    return rows
