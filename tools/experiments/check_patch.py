"""Prints how much a network's error grows where the face lies a little off in its patch.

    python tools/experiments/check_patch.py --data DIR MODEL...

Every image of a split is shifted by 2% of its side (left, right, up, down), scaled by 5% (larger, smaller) and rolled
by 3 degrees (both ways; the true gaze rolls along), one change at a time. The table has the mean error in degrees as it
is and with each change, the worse of its directions.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.evaluation.robustness import PATCH_CHANGES, worst_error
from gazenas.models.zoo import load_model


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
        table = Table(
            "network", *PATCH_CHANGES, title=f"mean error in degrees, {len(split)} images of {arguments.data}"
        )
        for name in arguments.models:
            network = load_model(name)
            folder.expect_size(network.input_size, name)
            table.add_row(name, *(f"{worst_error(network, split, change):.2f}" for change in PATCH_CHANGES))
    except InputError as error:
        parser.error(str(error))
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
