"""``gazenas calibrate``: adapts a model to people and reports, on held-out images of theirs, whether it helped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt
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
from gazenas.data.dataset import GazeSplit, plural
from gazenas.data.readers import open_data
from gazenas.errors import InputError
from gazenas.evaluation.calibration import (
    DRAWS,
    METHODS,
    UNLABELED,
    Outcome,
    Sample,
    save_user,
    try_methods,
    with_change,
)
from gazenas.files import write_csv, write_json
from gazenas.models.zoo import GazeModel, load_model
from gazenas.tasks.task import Floats, Task
from gazenas.training.loop import predict_faces

COUNTS = (1, 5, 9, 20, 50, 100)


def _parse(argv: list[str]) -> Namespace:
    parser = make_parser(
        "calibrate",
        "Adapts a model to each person from k of their images and measures it on others of theirs, before and after. "
        "statistics and blended need no labels; bias, affine and last are fitted on k labeled images.",
    )
    parser.add_argument(
        "--model", type=str, required=True, help="run folder, arch.json with weights beside it, or shipped name"
    )
    parser.add_argument("--data", type=str, required=True, help="data folder in any known layout")
    parser.add_argument("--split", type=str, default="test", help="whose people: a part of the data set")
    parser.add_argument("--out", type=str, required=True, help="folder for calibration.csv and summary.json")
    parser.add_argument(
        "--by",
        type=Literal["person", "session"],
        default="person",
        help="whose k images: a person's, or those of one recording session of a person, with its light and place",
    )
    parser.add_argument("--k", type=list[int], default=list(COUNTS), help="numbers of images to adapt to")
    parser.add_argument("--draws", type=PositiveInt, default=3, help="of k images for each person and k")
    parser.add_argument(
        "--draw",
        type=str,
        default="random",
        metavar=f"{{{','.join(DRAWS)}}}",
        help="which k images: random, or spread, those whose labels are far apart, as the dots of a calibration are",
    )
    parser.add_argument(
        "--person", type=str, default="", help="one person only; needed with --save where there are several"
    )
    parser.add_argument("--save", type=str, default="", help="safetensors file for the person, written where it helped")
    parser.add_argument("--method", type=str, default="auto", help=f"for --save: auto or one of {', '.join(METHODS)}")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="of the halves and draws")
    parser.add_argument(
        "--device", type=str, default="auto", help="cpu, cuda, cuda:N, or auto: a GPU where there is one"
    )
    parser.add_argument("--threads", type=NonNegativeInt, default=0, help="CPU threads, 0 for one a usable core")
    add_reading_arguments(parser)
    arguments: Namespace = parser.parse_args(argv)
    if not arguments.k or min(arguments.k) < 1:
        raise InputError(f"--k: expected numbers of at least 1, found {arguments.k}")
    if arguments.method not in ("auto", *METHODS):
        raise InputError(f"--method: expected auto or one of {', '.join(METHODS)}, found {arguments.method!r}")
    if arguments.draw not in DRAWS:
        raise InputError(f"--draw: expected one of {', '.join(DRAWS)}, found {arguments.draw!r}")
    save = Path(arguments.save)
    if arguments.save and (save.suffix != ".safetensors" or not save.parent.is_dir()):
        raise InputError(f"--save: expected FILE.safetensors in an existing folder, found {save}")
    if arguments.save and arguments.by == "session":
        raise InputError("--save: keeps what fits a person, expected --by person, found session")
    return arguments


def run(argv: list[str]) -> None:
    """Runs the verb."""
    arguments = _parse(argv)
    network = load_model(arguments.model).to(use_device(arguments.device, arguments.threads))
    task, reading = network.task, reading_of(arguments, network.input_size, network.task)
    split = open_data(Path(arguments.data), reading, arguments.format).split(arguments.split)
    labels = task.labels(split)
    if labels is None:
        raise InputError(
            f"{arguments.data}: {split.name}: expected {task.name} labels, by which to tell whether it helps, found "
            f"{', '.join(split.known()) or 'none'}"
        )
    people = _people(split, arguments.person, bool(arguments.save))
    outcomes: list[Outcome] = []
    groups = _groups(split, people, arguments.by == "session")
    with counting_bar("people" if arguments.by == "person" else "sessions", len(groups)) as done:
        for name, rows in groups.items():
            outcomes += try_methods(
                network,
                name,
                split.faces(rows, network.inputs),
                labels[rows],
                sorted(set(arguments.k)),
                arguments.draws,
                arguments.seed,
                arguments.draw,
            )
            done(1)
    if not outcomes:
        raise InputError(f"--k: nobody of {split.name} has twice {min(arguments.k)} images: half of them are held out")
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    _write(out, outcomes, arguments, task)
    _print(outcomes, split, arguments.by, task)
    console.print(f"calibration.csv and summary.json are in {out}")
    if arguments.save:
        (named,) = groups.items()
        _save(arguments, network, split, labels, *named)


def _people(split: GazeSplit, person: str, one: bool) -> list[str]:
    if person and person not in split.people:
        raise InputError(f"--person: expected one of {', '.join(split.people[:8])}, found {person!r}")
    if one and not person and len(split.people) > 1:
        raise InputError(f"--save: expected --person, since {split.name} has {len(split.people)} people")
    return [person] if person else split.people


def _groups(split: GazeSplit, people: Sequence[str], by_session: bool) -> dict[str, NDArray[np.int64]]:
    """Rows by person, or by a person's session, in words."""
    if by_session and split.session is None:
        raise InputError(f"--by session: expected recording sessions in {split.name}, found none; see 'gazenas synth'")
    found = {}
    for person in people:
        mine = np.flatnonzero(split.person == split.people.index(person))
        if not by_session or split.session is None:
            found[person] = mine
            continue
        for number in np.unique(split.session[mine]):
            found[f"{person}, {split.sessions[number]}"] = mine[split.session[mine] == number]
    return found


def _write(out: Path, outcomes: Sequence[Outcome], arguments: Namespace, task: Task) -> None:
    before, after = task.key("before"), task.key("after")
    titles = ["person", "method", "k", "draw", "held_out_images", before, after]
    rows = ([o.person, o.method, o.k, o.draw, o.images, f"{o.before:.4f}", f"{o.after:.4f}"] for o in outcomes)
    write_csv(out / "calibration.csv", titles, rows)
    values = {"verb": "calibrate", "model": arguments.model, before: _before(outcomes), after: _means(outcomes)}
    write_json(out / "summary.json", values)


def _before(outcomes: Sequence[Outcome]) -> float:
    """Mean over people without any adaptation."""
    return float(np.mean(list({o.person: o.before for o in outcomes}.values())))


def _means(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """By method and k, the mean over people and draws."""
    return {
        method: {
            str(k): float(np.mean([o.after for o in outcomes if o.method == method and o.k == k]))
            for k in sorted({o.k for o in outcomes})
        }
        for method in METHODS
    }


def _print(outcomes: Sequence[Outcome], split: GazeSplit, by: str, task: Task) -> None:
    means, people = _means(outcomes), len({o.person for o in outcomes})
    counts = sorted({o.k for o in outcomes})
    rows = [["none", *[task.show(_before(outcomes))] * len(counts)]]
    for method, by_k in means.items():
        word = f"{method} ({'no labels' if method in UNLABELED else 'k labels'})"
        rows.append([word, *[task.show(by_k[str(k)]) for k in counts]])
    title = f"calibrate: mean over {people} {plural(by)} of {split.name}, held-out half of each one's images"
    print_table(title, [f"k images of the {by}", *map(str, counts)], rows)
    worse = []
    for method in METHODS:
        hurt = [
            f"k={k}: {sum(o.after > o.before for o in outcomes if o.method == method and o.k == k)}"
            f" of {sum(o.method == method and o.k == k for o in outcomes)}"
            for k in counts
        ]
        worse.append([method, "; ".join(hurt)])
    print_table("draws that it made worse", ["", ""], worse)


def _save(
    arguments: Namespace, network: GazeModel, split: GazeSplit, labels: Floats, person: str, rows: NDArray[np.int64]
) -> None:
    """Adapts to k images and writes the person's file, unless their other images say that it does not help."""
    path, method, task = Path(arguments.save), arguments.method, network.task
    rng = np.random.default_rng(arguments.seed)
    order = rng.permutation(rows)
    pool, held = np.sort(order[: len(rows) // 2]), np.sort(order[len(rows) // 2 :])
    own = pool[DRAWS[arguments.draw](labels[pool], min(max(arguments.k), len(pool)), rng)]
    faces, sample = split.faces(held, network.inputs), Sample(split.faces(own, network.inputs), labels[own])
    before = task.mean_error(predict_faces(network, faces), labels[held])
    tried = {}
    for name in METHODS if method == "auto" else (method,):
        change = METHODS[name](network, sample)
        tried[name] = (task.mean_error(with_change(network, change, faces), labels[held]), change)
    best = min(tried, key=lambda name: tried[name][0])
    after, change = tried[best]
    among = f" (the best of {len(tried)} ways there)" if len(tried) > 1 else ""
    measured = f"{before:.2f} {task.error_word} before, {after:.2f} after on {len(held)} others{among}"
    said = f"{person}: {best} from {len(own)} images, {measured}"
    if after >= before:
        console.print(f"{said}: not applied, nothing written")
        return
    errors = {task.key("before"): before, task.key("after"): after}
    save_user(path, change, network, {"person": person, "method": best, "images": len(own), **errors})
    console.print(f"{said}; written to {path}: load_model(..., user=...) and 'gazenas export --user' take it")
