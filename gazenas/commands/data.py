"""``gazenas data``: look at data folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jsonargparse.typing import NonNegativeInt

from gazenas.architecture import InputError
from gazenas.commands.common import console, make_parser
from gazenas.data import Reading, open_data
from gazenas.report.faces import draw_contact_sheet


def run(argv: list[str]) -> None:
    """Runs the verb: its first argument says what to do."""
    actions = {"show": _show}
    if not argv or argv[0] not in actions:
        if argv and argv[0] not in ("-h", "--help"):
            raise InputError(f"data: unknown action {argv[0]!r}: expected one of {', '.join(actions)}")
        console.print(
            "usage: gazenas data ACTION [arguments]\n\n  show  draw a contact sheet of faces with gaze arrows"
        )
        return
    actions[argv[0]](argv[1:])


def _show(argv: list[str]) -> None:
    parser = make_parser("data show", "Draws faces of a data folder with arrows along their true gaze.")
    parser.add_argument("folder", type=str, help="data folder in ETH-XGaze's layout")
    parser.add_argument("--out", type=str, default="faces.png", help="PNG file to write")
    parser.add_argument("--split", type=str, default="train", help="train, val or test")
    parser.add_argument("--count", type=int, default=40, help="how many faces")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="of the draw")
    arguments = parser.parse_args(argv)
    folder = open_data(Path(arguments.folder), Reading(seed=arguments.seed))
    for note in folder.notes:
        console.print(note)
    split = folder.split(arguments.split)
    if not 1 <= arguments.count <= 400:
        raise InputError(f"--count: expected 1 to 400, found {arguments.count}")
    count = min(arguments.count, len(split))
    rows = np.sort(np.random.default_rng(arguments.seed).choice(len(split), count, replace=False))
    title = f"{folder.folder.name}: {count} of {len(split)} {split.name} faces, arrows along the true gaze"
    draw_contact_sheet(split, rows, Path(arguments.out), title)
    console.print(f"wrote {arguments.out}")
