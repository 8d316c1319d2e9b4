"""Prints how much a network's error grows where the face lies a little off in its patch.

    python tools/check_patch.py --data DIR MODEL...

A landmark finder never puts the patch exactly where training did. Every image of a split is shifted by 2% of its side (left, right, up,
down), scaled by 5% (larger, smaller) and rolled by 3 degrees (both ways; the true gaze rolls along), one change at a time. The
table has the mean error in degrees as it is and with each change, the worse of its directions.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from gazenas.data.augmentation import Changes, augment
from gazenas.data.dataset import GazeSplit
from gazenas.data.loader import normalize
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.gaze import angular_error
from gazenas.models.zoo import GazeModel, load_model

SHIFT, SCALE, ROLL = 0.02, 0.05, math.radians(3)
BATCH = 128
# By name, the directions of a change: rows and columns as shares of the side, factor, radians.
CHANGES: dict[str, list[tuple[float, float, float, float]]] = {
    "as it is": [(0, 0, 1, 0)],
    "shift 2%": [(SHIFT, 0, 1, 0), (-SHIFT, 0, 1, 0), (0, SHIFT, 1, 0), (0, -SHIFT, 1, 0)],
    "scale 5%": [(0, 0, 1 + SCALE, 0), (0, 0, 1 - SCALE, 0)],
    "roll 3 degrees": [(0, 0, 1, ROLL), (0, 0, 1, -ROLL)],
}


def main() -> int:
    """Prints a row a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="run folders, or names of shipped subnets")
    parser.add_argument("--data", type=Path, required=True, help="data folder")
    parser.add_argument("--split", default="test", help="labeled split (default: test)")
    arguments = parser.parse_args()
    try:
        folder = open_data(arguments.data, Reading())
        split = folder.split(arguments.split)
        if split.gaze is None:
            raise InputError(f"--split: expected one with labels, found {arguments.split}, which has none")
        table = Table("network", *CHANGES, title=f"mean error in degrees, {len(split)} images of {arguments.data}")
        for name in arguments.models:
            network = load_model(name)
            folder.expect_size(network.input_size, name)
            table.add_row(name, *(f"{worst(network, split, kind):.2f}" for kind in CHANGES))
    except InputError as error:
        parser.error(str(error))
    Console(width=120).print(table)
    return 0


def worst(network: GazeModel, split: GazeSplit, kind: str) -> float:
    """The largest mean error over the directions of a change."""
    return max(mean_error(network, split, change) for change in CHANGES[kind])


@torch.inference_mode()
def mean_error(network: GazeModel, split: GazeSplit, change: tuple[float, float, float, float]) -> float:
    """Mean error in degrees with every image changed alike."""
    rows_share, columns_share, factor, radians = change
    errors = []
    for begin in range(0, len(split), BATCH):
        rows = np.arange(begin, min(begin + BATCH, len(split)))
        count, side = len(rows), network.input_size
        changes = Changes(
            torch.zeros(count, dtype=torch.bool),
            torch.ones(count),
            torch.zeros(count),
            shift=side * torch.tensor([rows_share, columns_share]).expand(count, 2),
            roll=torch.full((count,), radians),
            scale=torch.full((count,), factor),
        )
        assert split.gaze is not None, "checked by the caller"
        images = normalize(torch.from_numpy(split.images(rows)))
        images, gaze = augment(images, torch.from_numpy(split.gaze[rows]), changes)
        errors.append(angular_error(network(images).numpy(), gaze.numpy()))
    return float(np.concatenate(errors).mean())


if __name__ == "__main__":
    sys.exit(main())
