"""``gazenas synth``: rendered faces with known gaze, in ETH-XGaze's layout."""

from __future__ import annotations

import os
from pathlib import Path

from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt
from rich.progress import Progress

from gazenas.commands._common import console, make_parser, usable_cores
from gazenas.data.hdf5_layout import METADATA_FILE, SPLIT_FILE
from gazenas.data.synthetic.generation import FACE, VIEWS, generate, rendered_files, split_people
from gazenas.errors import InputError


def _parse(argv: list[str]) -> Namespace:
    parser = make_parser("synth", "Renders people whose gaze is known exactly, as ETH-XGaze's preprocessed HDF5 files.")
    parser.add_argument("out", type=str, help="data folder to write")
    parser.add_argument(
        "--subjects", type=int, default=60, help="people; a tenth validate, a fifth are tested on, at least one each"
    )
    parser.add_argument("--per_subject", "--per-subject", type=int, default=200, help="images of each person")
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels; 224 is ETH-XGaze's")
    parser.add_argument(
        "--view",
        type=str,
        default=FACE,
        help=f"what is seen: {', '.join(VIEWS)}; near-eye renders single eyes in infrared, for --task eye_landmarks, "
        "screen faces that look at a screen, for --task screen_point",
    )
    parser.add_argument(
        "--roll",
        type=NonNegativeFloat,
        default=0.0,
        help="degrees by which heads are turned about the direction of their faces at most, for --task head_pose; 0 "
        "for none, as after normalization",
    )
    parser.add_argument(
        "--sessions",
        type=NonNegativeInt,
        default=0,
        help="recordings of a person at most, 2 to 5, each with a light, a place, a camera and a seat of its own, for "
        "'gazenas protocol familiar' and 'calibrate'; 0 for none",
    )
    parser.add_argument(
        "--renderer",
        type=int,
        default=1,
        help="1, or 2: faces with the measures of people and the variety of photographs; the same seed gives the same "
        "bytes with each",
    )
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="of the people and of every image")
    parser.add_argument(
        "--workers",
        type=NonNegativeInt,
        default=0,
        help="processes, 0 for one a usable core; the files do not depend on it",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the data in OUT")
    arguments: Namespace = parser.parse_args(argv)
    return arguments


def run(argv: list[str]) -> None:
    """Runs the verb."""
    arguments = _parse(argv)
    out = Path(arguments.out)
    split_people(arguments.subjects)
    _clear(out, overwrite=arguments.overwrite)
    os.environ["OMP_NUM_THREADS"] = "1"
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("rendering people", total=arguments.subjects)
        split = generate(
            out,
            subjects=arguments.subjects,
            per_subject=arguments.per_subject,
            size=arguments.size,
            seed=arguments.seed,
            roll=arguments.roll,
            view=arguments.view,
            sessions=arguments.sessions,
            renderer=arguments.renderer,
            workers=arguments.workers or usable_cores(),
            on_file=lambda name: progress.advance(task),
        )
    counts = ", ".join(f"{len(names)} {name}" for name, names in split.items())
    console.print(
        f"{out}: {arguments.subjects} people ({counts}), {arguments.subjects * arguments.per_subject:,} images of "
        f"{arguments.size} pixels"
    )


def _clear(out: Path, *, overwrite: bool) -> None:
    """Makes room; removes nothing but what ``dataset.json`` says was rendered, and that only when asked to."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: expected a folder, found a file")
    held = sorted(path for path in out.rglob("*") if not path.is_dir()) if out.exists() else []
    if not held:
        return
    rendered = rendered_files(out)
    if rendered is None and out / SPLIT_FILE in held:
        raise InputError(
            f"{out}: already holds data, and nothing in it says that it was rendered: choose another folder, or remove "
            "it yourself"
        )
    own = {out / SPLIT_FILE, out / METADATA_FILE, *(rendered or [])}
    others = [path for path in held if path not in own and not _half_written(path)]
    if others or rendered is None:
        shown = ", ".join(str(path.relative_to(out)) for path in (others or held)[:3])
        raise InputError(f"{out}: holds other things than rendered data ({shown}): choose another folder")
    if not overwrite:
        raise InputError(f"{out}: already holds data: choose another folder, or --overwrite to replace it")
    # What makes the folder a data set goes first, what says that it may be removed last.
    for path in sorted(held, key=lambda path: (path.name == METADATA_FILE, path.name != SPLIT_FILE)):
        path.unlink()


def _half_written(path: Path) -> bool:
    """Whether a killed rendering left a file."""
    return path.name.startswith(".") and path.name.endswith(".part")
