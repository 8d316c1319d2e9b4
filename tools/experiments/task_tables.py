"""Every task besides gaze: a searched network beside the hand-made rival of the same budget, SqueezeNet truncated at
layer 9, and the reference predictors; same people, passes and seeds.

    python tools/experiments/task_tables.py --out tables [--tasks head_pose,screen_point] [--seeds 2] [--epochs 10]

For each task it renders OUT/TASK/data, runs ``gazenas search --control handmade`` and ``gazenas finetune --arch
squeezenet@9`` with two step sizes, the better of which counts, exports what was found and measures the file; where
people can calibrate on dots (``screen_point``), it adapts each network to nine dots of a person. A row a run in
OUT/TASK.csv. Kill it and start it again: finished runs are kept and begun ones are gone on with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gazenas.commands._common import print_table
from gazenas.commands._control import HANDMADE
from gazenas.commands._experiment import Tell, exit_status
from gazenas.evaluation.experiment import ErrorRow, Trial, error_table, keep_settings, run_trials
from gazenas.evaluation.verb_processes import VerbProcesses
from gazenas.files import read_json, write_records
from gazenas.search.searching import FOUND
from gazenas.tasks import TASKS
from gazenas.tasks.task import UNITS, Task

SMALL, FILE = "squeezenet@9", "found, its exported file"
STEP_SIZES = ("3e-3", "1e-3")  # of SqueezeNet: the usual one, and the one that it needs at times, without BatchNorm
DOTS = 9
ADAPTED = ("bias", "affine")  # ways of 'gazenas calibrate' that a table shows
Words = list[str]


class Setting(NamedTuple):
    """How a task is shown.

    Attributes:
        pixels: of the images.
        render: words for ``gazenas synth``.
        space: that is searched.
        macs: budget of the search and of its rival.
        dots: whether people calibrate on dots.
    """

    pixels: int
    render: tuple[str, ...]
    space: str
    macs: str
    dots: bool = False


SETTINGS = {
    "head_pose": Setting(64, ("--roll", "30"), "gazenas_fast_tiny", "9.15M"),
    "eye_landmarks": Setting(96, ("--view", "near-eye"), "gazenas_fast_eye", "20M"),
    "screen_point": Setting(64, ("--view", "screen"), "gazenas_fast_tiny", "9.15M", dots=True),
}


class Plan:
    """The runs of one task.

    Args:
        task: a key of ``SETTINGS``.
        arguments: of the command line.
        verbs: runs them.
    """

    def __init__(self, task: str, arguments: argparse.Namespace, verbs: VerbProcesses) -> None:
        self.task, self.setting, self.verbs = TASKS[task], SETTINGS[task], verbs
        self.out: Path = arguments.out / task
        self.data, self.people = self.out / "data", [arguments.subjects, arguments.per_subject]
        threads = ["--threads", str(arguments.threads)]
        self.common = ["--data", str(self.data), *threads]
        self.training = ["--task", task, "--epochs", str(arguments.epochs), *self.common, "--resume"]

    def render(self) -> None:
        """The data, where they are absent."""
        if (self.data / "train_test_split.json").exists():
            return
        self.out.mkdir(parents=True, exist_ok=True)
        people, images = map(str, self.people)
        words = ["synth", str(self.data), "--subjects", people, "--per-subject", images, "--overwrite"]
        self.verbs.run([*words, "--size", str(self.setting.pixels), *self.setting.render], self.out / "synth.txt")

    def trials(self, seed: int) -> list[Trial]:
        """What the table has of one seed; the search leaves its rival behind as well."""
        place = self.out / f"seed{seed}"
        found, file = place / f"seed{seed}" / FOUND, place / "file"
        small = {step: place / f"squeezenet_{step}" for step in STEP_SIZES}
        trials = [
            Trial(FOUND, seed, found, partial(self._search, place, seed)),
            Trial(HANDMADE, seed, found.with_name(HANDMADE), partial(self._search, place, seed)),
            *(
                Trial(small_name(step), seed, path, partial(self._train_small, path, step, seed))
                for step, path in small.items()
            ),
            Trial(FILE, seed, file, partial(self._export, found, file)),
        ]
        if self.setting.dots:
            for network in trials[:-1]:
                path = network.path.with_name(f"{network.path.name}_dots")
                trials.append(
                    Trial(f"{network.name}, dots", seed, path, partial(self._adapt, network.path, path, seed))
                )
        return trials

    def _search(self, place: Path, seed: int) -> None:
        """Both networks of a search beside its rival, where they are not there yet."""
        if (place / "summary.json").exists():
            return
        words = ["search", "--space", self.setting.space, "--target-macs", self.setting.macs]
        words += ["--control", HANDMADE, "--control-seeds", "1", "--seed", str(seed), "--out", str(place)]
        self.verbs.run([*words, *self.training], self.out / f"search{seed}.txt")

    def _train_small(self, path: Path, step: str, seed: int) -> None:
        words = ["finetune", "--arch", SMALL, "--input-size", str(self.setting.pixels), "--keep", "last"]
        words += ["--lr", step, "--seed", str(seed), "--out", str(path)]
        self.verbs.run([*words, *self.training], path.with_suffix(".txt"))

    def _export(self, found: Path, path: Path) -> None:
        file, log = path.with_suffix(".onnx"), path.with_suffix(".txt")
        data = ["--data", str(self.data)]
        self.verbs.run(["export", "--model", str(found), *data, "--out", str(file)], log)
        self.verbs.run(["evaluate", "--model", str(file), *self.common, "--out", str(path), "--overwrite"], log)

    def _adapt(self, run: Path, path: Path, seed: int) -> None:
        words = ["calibrate", "--model", str(run), "--k", f"[{DOTS}]", "--draw", "spread", "--seed", str(seed)]
        self.verbs.run([*words, *self.common, "--out", str(path)], path.with_suffix(".txt"))


def small_name(step: str) -> str:
    """SqueezeNet trained with a step size, as tables have it."""
    return f"{SMALL}, step {step}"


def main() -> int:
    """Runs what is missing; 1 where a run ended badly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", default=",".join(SETTINGS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10, help="passes of every network")
    parser.add_argument("--subjects", type=int, default=60, help="people that are rendered")
    parser.add_argument("--per-subject", type=int, default=100, help="images of each")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.tasks.split(",") if name not in SETTINGS]
    if unknown:
        parser.error(f"--tasks: expected some of {', '.join(SETTINGS)}, found {unknown[0]!r}")
    return exit_status(partial(run, arguments))


def run(arguments: argparse.Namespace, tell: Tell) -> None:
    """Every task and seed; ``tell`` hears of what ended badly."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(arguments, name) for name in ("epochs", "subjects", "per_subject")}
    keep_settings(arguments.out / "experiment.json", settings)
    with VerbProcesses() as verbs:
        for name in arguments.tasks.split(","):
            plan = Plan(name, arguments, verbs)
            plan.render()
            trials = [trial for seed in range(arguments.seeds) for trial in plan.trials(seed)]
            write = partial(_write, arguments.out / f"{name}.csv", plan.task)
            done = run_trials(trials, report=write, failed=tell)
            _print(plan.task, rows_of(done, plan.task))


def _write(path: Path, task: Task, done: Sequence[Trial]) -> None:
    write_records(path, rows_of(done, task))


def rows_of(done: Sequence[Trial], task: Task) -> list[dict[str, Any]]:
    """Lines of a task's file, by network and seed: sizes, errors on the test people, and with nine dots of each."""
    by_name = {(trial.name, trial.seed): trial for trial in done}
    error, mean = task.key("test_error"), task.key("mean_predictor_error")
    rows = []
    for (name, seed), trial in by_name.items():
        record = trial.read()
        if "verb" in record and record["verb"] == "calibrate":
            continue
        row = {"network": name, "seed": seed, **{key: record[key] for key in ("macs", "params", error, mean)}}
        dots = by_name.get((f"{name}, dots", seed))
        if dots is not None:
            row |= _adapted(read_json(dots.path / "summary.json"), task)
        rows.append(row)
    order = list(dict.fromkeys(row["network"] for row in rows))
    return sorted(rows, key=lambda row: (order.index(row["network"]), row["seed"]))


def _adapted(record: dict[str, Any], task: Task) -> dict[str, float]:
    """Errors on the held-out half of each person's images, before and with nine dots out of the other half."""
    after = record[task.key("after")]
    return {"half": record[task.key("before")], **{name: after[name][str(DOTS)] for name in ADAPTED}}


def _print(task: Task, rows: Sequence[dict[str, Any]]) -> None:
    """Means over seeds beside the references; where there are dots, a second table of what they bring."""
    mean = task.key("mean_predictor_error")
    sign, error = UNITS[task.error_unit][0], task.key("test_error")
    errors = error_table(rows, name="network", error=error, means=("params", "macs", mean), sign=sign)
    constant = next((row.means[mean] for row in errors.values()), None)
    titles = ["network", "MACs", "parameters", "error", "deviation", "each seed", f"of {SMALL}", "of the constant"]
    small = min((row.mean for name, row in errors.items() if name.startswith(SMALL)), default=None)
    cells = [_cells(row, small, row.means[mean]) for row in errors.values()]
    print_table(
        f"{task.name}: {task.error_name} on the test people; always answering the training mean: {task.show(constant)}",
        titles,
        cells,
    )
    half = [row for row in rows if "half" in row]
    if half:
        dots = {key: error_table(half, name="network", error=key, sign=sign) for key in ("half", *ADAPTED)}
        cells = [[name, *(dots[key][name].cells()[0] for key in dots)] for name in dots["half"]]
        titles = ["network", "as it is", *(f"{key} of {DOTS} dots" for key in ADAPTED)]
        print_table(f"{task.name}: on half of each test person's images", titles, cells)


def _cells(row: ErrorRow, small: float | None, constant: float) -> Words:
    sizes = [f"{row.means['macs'] / 1e6:.2f} M", f"{row.means['params']:,.0f}"]
    beside = ["" if base is None else f"{row.mean / base:.2f}" for base in (small, constant)]
    return [row.name, *sizes, *row.cells(), *beside]


if __name__ == "__main__":
    sys.exit(main())
