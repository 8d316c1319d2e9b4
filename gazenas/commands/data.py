"""``gazenas data``: look at data folders, check them, turn them into the layout that trains fast, normalize photos."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt
from numpy.typing import NDArray

from gazenas.commands._common import (
    add_reading_arguments,
    console,
    counting_bar,
    make_parser,
    print_table,
    reading_of,
    use_device,
)
from gazenas.commands._normalize import normalize_photos
from gazenas.data.checks.folder import FAIL, check_folder
from gazenas.data.dataset import Faces, GazeFolder, GazeSplit, hold_out_test
from gazenas.data.preparation import prepare
from gazenas.data.readers import open_data
from gazenas.errors import InputError
from gazenas.files import write_json
from gazenas.models.zoo import load_model
from gazenas.report.faces import draw_contact_sheet
from gazenas.tasks import TASKS, find_task
from gazenas.tasks.gaze import GAZE
from gazenas.training.loop import predict_faces

ACTIONS = {
    "show": "draw a contact sheet of faces with gaze arrows",
    "check": "open everything, report what is right, wrong or undecided; status 2 where something is wrong",
    "prepare": "turn any layout into ETH-XGaze's HDF5 layout",
    "normalize": "warp photos with known cameras into normalized faces with gaze",
}
REFERENCE = "gazenas-tiny-9m"  # trained on rendered faces alone, whose convention is certain


def run(argv: list[str]) -> None:
    """Runs the verb: its first argument says what to do."""
    actions = {"show": _show, "check": _check, "prepare": _prepare, "normalize": normalize_photos}
    if not argv or argv[0] not in actions:
        if argv and argv[0] not in ("-h", "--help"):
            raise InputError(f"data: unknown action {argv[0]!r}: expected one of {', '.join(actions)}")
        lines = "\n".join(f"  {name:10} {text}" for name, text in ACTIONS.items())
        console.print(f"usage: gazenas data ACTION [arguments]; gazenas data ACTION --help explains one\n\n{lines}")
        return
    actions[argv[0]](argv[1:])


def _add_task(parser: ArgumentParser) -> None:
    parser.add_argument("--task", type=str, default=GAZE.name, help=f"whose labels must be there: {', '.join(TASKS)}")


def _show(argv: list[str]) -> None:
    parser = make_parser("data show", "Draws faces of a data folder with arrows along their true gaze.")
    parser.add_argument("folder", type=str, help="data folder in any known layout")
    parser.add_argument("--out", type=str, default="faces.png", help="PNG file to write")
    parser.add_argument(
        "--split", type=str, default="train", help="train, val or test, or another part of the data set"
    )
    parser.add_argument("--count", type=int, default=40, help="how many faces")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="of the faces that are shown")
    _add_task(parser)
    add_reading_arguments(parser)
    arguments = parser.parse_args(argv)
    task = find_task(arguments.task)
    folder = open_data(Path(arguments.folder), reading_of(arguments, task=task), arguments.format)
    for note in folder.notes:
        console.print(note)
    split = folder.split(arguments.split)
    if not 1 <= arguments.count <= 400:
        raise InputError(f"--count: expected 1 to 400, found {arguments.count}")
    count = min(arguments.count, len(split))
    rows = np.sort(np.random.default_rng(arguments.seed).choice(len(split), count, replace=False))
    what = "arrows along the true gaze" if task is GAZE else f"true {task.name.replace('_', ' ')}"
    title = f"{folder.folder.name}: {count} of {len(split)} {split.name} faces, {what}"
    draw_contact_sheet(split, rows, Path(arguments.out), title, task)
    console.print(f"wrote {arguments.out}")


def _prepare(argv: list[str]) -> None:
    parser = make_parser(
        "data prepare",
        "Turns a data set into ETH-XGaze's HDF5 layout. Run again after an interruption, it goes on; no row is lost: "
        "what cannot be read is listed in unreadable.csv with the reason.",
    )
    parser.add_argument("folder", type=str, help="data folder in any known layout, or a CSV table")
    parser.add_argument("--out", type=str, required=True, help="folder to write")
    parser.add_argument(
        "--size", type=NonNegativeInt, default=0, help="side of the images in pixels; 0 keeps the first one's"
    )
    parser.add_argument(
        "--leave_out", "--leave-out", action="store_true", help="finish without the rows that cannot be read"
    )
    parser.add_argument(
        "--test_people",
        "--test-people",
        type=NonNegativeInt,
        default=0,
        help="of a source without a test part, how many people to draw for one",
    )
    _add_task(parser)
    add_reading_arguments(parser, "--seed")
    arguments = parser.parse_args(argv)
    reading = reading_of(arguments, arguments.size, find_task(arguments.task))
    source = open_data(Path(arguments.folder), reading, arguments.format)
    if arguments.test_people:
        source = hold_out_test(source, arguments.test_people, arguments.split_seed)
    for note in source.notes:
        console.print(note)
    total = sum(len(split) for split in source.splits.values())
    with counting_bar("preparing", total) as done:
        lists = prepare(source, Path(arguments.out), leave_out=arguments.leave_out, on_rows=done)
    files = ", ".join(f"{name} {len(entries)}" for name, entries in lists.items())
    console.print(f"{total:,} rows of {source.dataset} in {arguments.out}; files: {files}")


def _check(argv: list[str]) -> None:
    parser = make_parser(
        "data check", "Opens everything in a data folder and reports what is right, wrong or undecided. Exits 0 or 2."
    )
    parser.add_argument("folder", type=str, help="data folder in any known layout, or a CSV table")
    parser.add_argument("--out", type=str, default="data_check", help="folder for check.json and montage.png")
    parser.add_argument("--threads", type=NonNegativeInt, default=0, help="CPU threads, 0 for one a usable core")
    _add_task(parser)
    add_reading_arguments(parser, "--seed")
    arguments = parser.parse_args(argv)
    use_device("cpu", arguments.threads)
    reading = reading_of(arguments, task=find_task(arguments.task))
    opened = open_data(Path(arguments.folder), reading, arguments.format)
    network = load_model(REFERENCE)

    def answers(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        return predict_faces(network, Faces(faces))

    total = sum(len(split) for split in opened.splits.values())
    with counting_bar("reading", total) as done:
        findings, pixels = check_folder(opened, answers, network.input_size, done)
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    report = [{"check": f.check, "status": f.status.lower(), "text": f.text} for f in findings]
    values = {"folder": arguments.folder, "dataset": opened.dataset, "choices": opened.choices, "findings": report}
    write_json(out / "check.json", values)
    if pixels.sample is not None:
        _montage(opened, pixels.sample, out)
    for note in opened.notes:
        console.print(note)
    for finding in findings:
        console.print(f"{finding.status:>9}  {finding.check}: {finding.text}")
    counts = Counter(finding.status for finding in findings)
    print_table(f"data check: {arguments.folder}", ["", "checks"], [[word, str(n)] for word, n in counts.items()])
    console.print(f"report and montage are in {out}")
    failed = [finding for finding in findings if finding.status == FAIL]
    if failed:
        named = "; ".join(f"{finding.check}: {finding.text}" for finding in failed)
        raise InputError(f"{arguments.folder}: {len(failed)} of {len(findings)} checks failed: {named}")


def _montage(opened: GazeFolder, sample: GazeSplit, out: Path) -> None:
    rows = np.unique(np.linspace(0, len(sample) - 1, 40).round().astype(np.int64))
    draw_contact_sheet(sample, rows, out / "montage.png", f"{opened.dataset}: arrows along the gaze as it was read")
