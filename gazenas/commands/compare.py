"""``gazenas compare``: any mix of networks at one recipe, counted by one counter, timed in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt
from numpy.typing import NDArray

from gazenas.commands._common import (
    RichProgress,
    add_device_arguments,
    add_reading_arguments,
    console,
    counting_bar,
    make_parser,
    print_table,
    reading_of,
    use_device,
)
from gazenas.commands._recipes import add_recipe, recipe_of
from gazenas.commands.benchmark import Latencies, measure, middle, write_latency
from gazenas.data.dataset import GazeFolder
from gazenas.data.people import check_unseen
from gazenas.data.readers import open_data
from gazenas.errors import InputError
from gazenas.evaluation.comparison import (
    Candidate,
    candidates,
    count,
    deviations,
    fresh_trials,
    is_onnx,
    measure_as_it_is,
    write_onnx,
)
from gazenas.evaluation.experiment import Record, TrainingOptions, error_table, run_trials
from gazenas.evaluation.paired import errors_by_person, paired_difference
from gazenas.export.footprint import interleaved_latency, live_activations, peak_memory, sparsity
from gazenas.export.timing import describe_machine
from gazenas.files import safe_name, write_aside, write_csv, write_json, write_records
from gazenas.report.comparison import draw_comparison
from gazenas.tasks import TASKS
from gazenas.tasks.task import UNITS, Task
from gazenas.training.finetuning import FinetuneRecipe
from gazenas.training.signals import Interruption

MEGA = 1e6
BATCH = 16  # images at once, besides single ones
DIFFERENCES = ("difference", "difference_low", "difference_high")  # to the first one, of errors
DEVIATIONS = ("deviation_mean", "deviation_95", "deviation_largest")  # from the first one's answers


def run(argv: list[str]) -> None:
    """Runs the verb."""
    arguments = _parse(argv)
    device = use_device(arguments.device, arguments.threads, arguments.workers, deterministic=arguments.deterministic)
    found = candidates(
        arguments.models, retrain=arguments.retrain, input_size=arguments.input_size, task=arguments.task
    )
    task = found[0].task
    folders = {size: _open(arguments, size, task) for size in {each.input_size for each in found}}
    out = Path(arguments.out)
    (out / "onnx").mkdir(parents=True, exist_ok=True)
    records = _records(arguments, found, folders, device)
    files = _files(found, out)
    latencies = measure({each.name: (files[each.name], each.input_size) for each in found}, arguments.repeats)
    at_once = interleaved_latency(
        {each.name: (files[each.name], each.input_size) for each in found},
        threads=1,
        repeats=arguments.repeats,
        batch=BATCH,
    )
    rows = _rows(found, records, files, latencies, at_once)
    folder = next(iter(folders.values()))
    _write(out, rows, records, arguments, folder, task)
    write_latency(latencies, out)
    draw_comparison(rows, out / "comparison.png", task)
    _print(rows, task)
    reference = task.references["mean_predictor_error"].error(folder.split("train"), folder.split("test"))
    console.print(f"always answering the training mean: {task.show(reference)}")
    console.print(f"comparison.csv, comparison.md, people.csv, latency.csv and pictures are in {out}")


def _parse(argv: list[str]) -> Namespace:
    parser = make_parser(
        "compare",
        "Puts networks side by side: size, latency, memory, error on the test people. Those without weights are "
        "trained by one "
        "recipe with the same seeds; the same command again goes on where it stopped.",
    )
    parser.add_argument(
        "models", type=str, nargs="+", help="shipped subnets, comparators, run folders, arch.json and ONNX files"
    )
    parser.add_argument("--data", type=str, required=True, help="data folder with parts train, val and test")
    parser.add_argument("--out", type=str, required=True, help="folder to write")
    parser.add_argument(
        "--task",
        type=str,
        default="",
        help=f"what networks that are trained here predict, where they do not say: {', '.join(TASKS)}; gaze for a name",
    )
    parser.add_argument("--seeds", type=PositiveInt, default=2, help="runs of each network that is trained here")
    parser.add_argument(
        "--retrain", action="store_true", help="train networks that come with weights from fresh ones as well"
    )
    parser.add_argument(
        "--input_size", "--input-size", type=NonNegativeInt, default=0, help="of what is trained; 0 for each one's own"
    )
    parser.add_argument("--repeats", type=PositiveInt, default=20, help="rounds of the latency measurement")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="the first of --seeds")
    add_device_arguments(parser)
    add_recipe(parser, FinetuneRecipe)
    add_reading_arguments(parser)
    return parser.parse_args(argv)


def _open(arguments: Namespace, size: int, task: Task) -> GazeFolder:
    folder = open_data(Path(arguments.data), reading_of(arguments, size, task), arguments.format)
    test = folder.split("test")
    if task.labels(test) is None:
        known = ", ".join(test.known()) or "none"
        raise InputError(f"{arguments.data}: test: expected {task.name} labels, by which to compare, found {known}")
    return folder


def _records(
    arguments: Namespace, found: Sequence[Candidate], folders: Mapping[int, GazeFolder], device: str
) -> list[Record]:
    """What was measured of everybody, a record a seed of those that are trained here."""
    recipe = recipe_of(arguments, FinetuneRecipe)
    recipe.check()
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    records: list[Record] = []
    with Interruption() as interruption, RichProgress() as progress:
        options = TrainingOptions(device, arguments.workers, arguments.save_minutes, progress, interruption)
        for each in found:
            progress.say(f"{each.name}: {'as it is' if each.kind != 'fresh' else f'{len(seeds)} seeds'}")
            folder = folders[each.input_size]
            if each.kind == "fresh":
                trials = fresh_trials(each, folder, recipe, seeds, Path(arguments.out), options)
                records += [trial.read() for trial in run_trials(trials)]
                continue
            advice = "leave it out, compare on another folder, or train it anew (--retrain)"
            check_unseen(each.source, folder, ["test"], advice=advice)
            records.append(measure_as_it_is(each, folder.split("test")))
    return records


def _files(found: Sequence[Candidate], out: Path) -> dict[str, Path]:
    """An ONNX file of each; those that are there already are kept."""
    files = {}
    with counting_bar("exporting", len(found)) as done:
        for each in found:
            files[each.name] = out / "onnx" / f"{safe_name(each.name)}.onnx"
            if not is_onnx(files[each.name]):
                with write_aside(files[each.name]) as aside:
                    write_onnx(each, aside)
            done(1)
    return files


def _rows(
    found: Sequence[Candidate],
    records: Sequence[Record],
    files: Mapping[str, Path],
    latencies: Latencies,
    at_once: Mapping[str, NDArray[np.float64]],
) -> list[dict[str, Any]]:
    """A row of ``comparison.csv`` for each candidate."""
    task = found[0].task
    errors = error_table(records, error=task.key("error"), sign=UNITS[task.error_unit][0])
    apart, people = deviations(records, task), errors_by_person(records)
    rows = []
    for each in found:
        own, file = errors[each.name], files[each.name]
        params, macs = count(each)
        one, every = (middle(by_model[each.name]) for by_model in latencies.values())
        rows.append(
            {
                "name": each.name,
                "trained": f"{len(own.errors)} seeds" if each.kind == "fresh" else "as it is",
                "pixels": each.input_size,
                "params": params,
                "macs": macs,
                "file_bytes": (Path(each.source) if each.kind == "onnx" else file).stat().st_size,
                "median_ms_1": one[0],
                "p95_ms_1": one[1],
                "median_ms_all": every[0],
                "p95_ms_all": every[1],
                f"median_ms_batch_{BATCH}": middle(at_once[each.name])[0],
                task.key("error"): own.mean,
                task.key("spread"): own.deviation,
                **_difference(people, each.name, found[0].name, task),
                **dict(zip(_keys(DEVIATIONS, task), apart.get(each.name, (None,) * len(DEVIATIONS)), strict=True)),
                "peak_memory_bytes": peak_memory(file, each.input_size),
                "live_activation_bytes": live_activations(file, each.input_size),
                "sparsity": sparsity(file),
            }
        )
    return rows


def _difference(people: Mapping[str, Mapping[str, float]], name: str, first: str, task: Task) -> dict[str, Any]:
    """Of a network's errors to the first one's, person by person: columns, and a verdict."""
    found, columns = None if name == first else paired_difference(people[name], people[first]), _keys(DIFFERENCES, task)
    if found is None:
        return dict.fromkeys((*columns, "difference_people", "verdict"))
    numbers = (found.mean, *(found.interval or (None, None)))
    return {**dict(zip(columns, numbers, strict=True)), "difference_people": found.people, "verdict": found.story}


def _keys(words: Sequence[str], task: Task) -> list[str]:
    """Columns of errors, with the unit at their ends."""
    return [task.key(word) for word in words]


def _write(
    out: Path,
    rows: Sequence[Mapping[str, Any]],
    records: Sequence[Record],
    arguments: Namespace,
    folder: GazeFolder,
    task: Task,
) -> None:
    """``comparison.csv``, ``comparison.md``, ``people.csv`` and ``summary.json``."""
    write_records(out / "comparison.csv", rows)
    titles, cells = _cells(rows, task)
    lines = ["| " + " | ".join(line) + " |" for line in (titles, ["---"] * len(titles), *cells)]
    with write_aside(out / "comparison.md") as aside:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    by_person = (
        [record["name"], 0 if record["seed"] is None else record["seed"] - arguments.seed, person, f"{mean:.4f}"]
        for record in records
        for person, mean in record["people"].items()
    )
    write_csv(out / "people.csv", ["name", "run", "person", task.key("mean")], by_person)
    story = {
        "verb": "compare",
        "task": task.name,
        "machine": describe_machine(1),
        "test_hash": folder.split("test").fingerprint(),
    }
    recipe = {"seeds": arguments.seeds, "seed": arguments.seed, **asdict(recipe_of(arguments, FinetuneRecipe))}
    write_json(out / "summary.json", {**story, "recipe": recipe, "rows": list(rows)})


def _cells(rows: Sequence[Mapping[str, Any]], task: Task) -> tuple[list[str], list[list[str]]]:
    """Titles and cells of the table that is printed and written."""
    sign = UNITS[task.error_unit][0]
    titles = ["network", "trained", "pixels", "params", "MACs", "file", "error", "against the first (95%)"]
    titles += [
        "ms, 1 thread (p95)",
        "ms, all (p95)",
        f"ms, batch {BATCH}",
        "memory",
        "live activations",
        "zeros",
        "from the first: mean / 95% / most",
    ]
    cells = []
    for row in rows:
        spread = "" if row[task.key("spread")] is None else f" ± {task.show(row[task.key('spread')])}"
        apart = [row[key] for key in _keys(DEVIATIONS, task)]
        cells.append(
            [
                row["name"],
                row["trained"],
                str(row["pixels"]),
                "not known" if row["params"] is None else f"{row['params'] / MEGA:.3f} M",
                "not known" if row["macs"] is None else f"{row['macs'] / MEGA:.1f} M",
                f"{row['file_bytes'] / MEGA:.2f} MB",
                f"{task.show(row[task.key('error')])}{spread}",
                _against(row, task),
                f"{row['median_ms_1']:.2f} ({row['p95_ms_1']:.2f})",
                f"{row['median_ms_all']:.2f} ({row['p95_ms_all']:.2f})",
                f"{row[f'median_ms_batch_{BATCH}']:.2f}",
                "not known" if row["peak_memory_bytes"] is None else f"{row['peak_memory_bytes'] / MEGA:.1f} MB",
                f"{row['live_activation_bytes'] / MEGA:.2f} MB",
                f"{row['sparsity']:.1%}",
                "" if apart[0] is None else " / ".join(f"{each:.2f}{sign}" for each in apart),
            ]
        )
    return titles, cells


def _against(row: Mapping[str, Any], task: Task) -> str:
    """How a network's errors differ from the first one's."""
    mean, low, high = (row[key] for key in _keys(DIFFERENCES, task))
    if mean is None:
        return ""
    between = "" if low is None else f" ({low:+.2f} to {high:+.2f})"
    return f"{mean:+.2f}{UNITS[task.error_unit][0]}{between}, {row['verdict']}"


def _print(rows: Sequence[Mapping[str, Any]], task: Task) -> None:
    titles, cells = _cells(rows, task)
    print_table("error on the test people, mean and deviation over seeds", titles[:8], [line[:8] for line in cells])
    print_table("what they cost where they run", [titles[0], *titles[8:]], [[line[0], *line[8:]] for line in cells])
