"""Searches and what they have to beat, at equal budget, data, passes and seeds: a row a run, resumable at any time.

    python tools/experiments/search_against_controls.py --out rivals [--control scratch,handmade] [--budgets
    4.5M,9.15M,18M] [--seeds 3]
        [--equal-seconds] [--jobs 2] [any argument of `gazenas search`, such as --space or --epochs]

Renders faces where OUT/data is absent, then runs `gazenas search --control ... --resume` for each budget and seed, JOBS
at a time with their share of the cores. With --equal-seconds the hand-made rival is trained once more, for so many
passes that its seconds are the search's. After each, OUT/controls.csv (a row a run) and OUT/controls.png show what
there is so far. Kill it and start it again as you like: finished runs are kept and begun ones are gone on with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from gazenas.commands._common import print_table, usable_cores
from gazenas.commands._control import HANDMADE, compared_kinds, controls_of
from gazenas.commands._experiment import Tell, exit_status
from gazenas.errors import InputError
from gazenas.evaluation.experiment import ErrorRow, Trial, error_table, keep_settings, run_trials
from gazenas.evaluation.verb_processes import VerbProcesses
from gazenas.files import read_json, write_records
from gazenas.search.searching import FOUND

LONGER = "handmade, equal seconds"
COLORS = {
    FOUND: "#c53030",
    "scratch": "#dd6b20",
    "uniform": "#2b6cb0",
    "random": "#718096",
    HANDMADE: "#2f855a",
    LONGER: "#68d391",
}
COLUMNS = (
    *("budget", "seed", "network", "epochs", "macs", "params", "val_error_deg", "test_error_deg"),
    *("fingerprint", "seconds"),
)
PEOPLE = ("--subjects", "60", "--per-subject", "200", "--size", "64", "--seed", "0")


def main() -> int:
    """Runs what is missing, a few at a time; 1 where a run ended badly."""
    arguments, more = parse()
    return exit_status(partial(run, arguments, more))


def parse() -> tuple[argparse.Namespace, list[str]]:
    """The command line, and what of it is for the search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("controls"))
    parser.add_argument("--data", type=Path, help="data folder; rendered in OUT/data without it")
    parser.add_argument("--control", default="scratch,handmade", help="what to compare with, as in gazenas search")
    parser.add_argument("--target", default="macs", help="quantity of --budgets: macs, params, size or ms")
    parser.add_argument("--budgets", default="4.5M,9.15M,18M")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--equal-seconds", action="store_true", help="also the rival trained as long as the search")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, each with its share of the cores")
    return parser.parse_known_args()


def run(arguments: argparse.Namespace, more: Sequence[str], tell: Tell) -> None:
    """Every budget and seed; ``tell`` hears of what ended badly."""
    kinds = [*compared_kinds(controls_of(arguments.control))]
    if arguments.equal_seconds and HANDMADE not in kinds:
        raise InputError("--equal-seconds: expected handmade in --control")
    kinds += [LONGER] if arguments.equal_seconds else []
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    arguments.data = arguments.data or out / "data"
    settings = {"data": str(arguments.data), "control": arguments.control, "target": arguments.target, "more": more}
    keep_settings(out / "experiment.json", settings)
    budgets = arguments.budgets.split(",")
    with VerbProcesses() as verbs:
        if not (arguments.data / "train_test_split.json").exists():
            print(f"rendering faces in {arguments.data}", flush=True)
            verbs.run(["synth", str(arguments.data), *PEOPLE, "--overwrite"], out / "synth.txt")
        trials = [
            trial_of(budget, seed, arguments, more, verbs) for seed, budget in product(range(arguments.seeds), budgets)
        ]
        report = Report(out, budgets, kinds, arguments.target)
        run_trials(trials, report=report, jobs=arguments.jobs, failed=tell)


def trial_of(budget: str, seed: int, arguments: argparse.Namespace, more: Sequence[str], verbs: VerbProcesses) -> Trial:
    """One budget and seed in OUT/BUDGET/seedN: the search beside its controls, then, where asked for, the rival at the
    search's seconds."""
    place: Path = arguments.out / budget / f"seed{seed}"
    runs, log = place / f"seed{seed}", place.with_suffix(".txt")
    threads = ["--threads", str(max(1, usable_cores() // arguments.jobs))]

    def train() -> None:
        place.parent.mkdir(exist_ok=True)
        words = ["search", "--data", str(arguments.data), f"--target-{arguments.target}", budget]
        words += ["--control", arguments.control, "--control-seeds", "1", "--seed", str(seed)]
        verbs.run([*words, "--out", str(place), "--resume", *threads, *more], log)
        if arguments.equal_seconds:
            words = ["finetune", "--config", str(runs / HANDMADE / "config.yaml"), "--seed", str(seed)]
            words += ["--epochs", str(equal_epochs(runs))]
            verbs.run([*words, "--out", str(runs / "longer"), "--resume", *threads], log)

    record = f"{runs.name}/longer/summary.json" if arguments.equal_seconds else "summary.json"
    return Trial(budget, seed, place, train, record)


def equal_epochs(runs: Path) -> int:
    """Passes of the rival that take as many seconds as the search did, by the seconds of its first training."""
    found, rival = (read_json(runs / kind / "summary.json") for kind in (FOUND, HANDMADE))
    ratio: float = found["seconds"] / rival["seconds"]
    return max(1, round(passes(runs / HANDMADE) * ratio))


def passes(run: Path) -> int:
    """Epochs of a run."""
    return len((run / "metrics.csv").read_text(encoding="utf-8").splitlines()) - 1


class Report:
    """Writes the rows and the plot, and prints means, each time that it is given the finished trials."""

    def __init__(self, out: Path, budgets: Sequence[str], kinds: Sequence[str], target: str) -> None:
        self.out, self.budgets, self.kinds, self.target = out, budgets, kinds, target

    def __call__(self, finished: Sequence[Trial]) -> None:
        rows = self.rows_of(finished)
        write_records(self.out / "controls.csv", rows)
        tables = {
            budget: error_table(
                [row for row in rows if row["budget"] == budget],
                name="network",
                error="test_error_deg",
                means=("params", "epochs", "seconds"),
            )
            for budget in self.budgets
        }
        print_errors(tables)
        draw(tables, self.kinds, self.target, self.out / "controls.png")

    def rows_of(self, finished: Sequence[Trial]) -> list[dict[str, Any]]:
        """Lines of ``controls.csv``: by budget, kind and seed."""
        rows = []
        for budget, kind in product(self.budgets, self.kinds):
            for trial in sorted((t for t in finished if t.name == budget), key=lambda trial: trial.seed):
                path = trial.path / f"seed{trial.seed}" / ("longer" if kind == LONGER else kind)
                own = {"budget": budget, "network": kind, "epochs": passes(path)}
                summary = read_json(path / "summary.json")
                rows.append({name: (summary | own)[name] for name in COLUMNS})
        return rows


def print_errors(tables: dict[str, dict[str, ErrorRow]]) -> None:
    """Means over seeds; the difference is to the search of the same seed."""
    cells = []
    for budget, errors in tables.items():
        for kind, row in errors.items():
            mean, deviation, each = row.cells()
            above = row.above_cell(errors[FOUND])
            numbers = [f"{row.means[name]:,.0f}" for name in ("params", "epochs", "seconds")]
            cells.append([budget, kind, mean, deviation, above, each, *numbers])
    columns = ["budget", "network", "mean", "deviation", "above found", "each seed", "parameters", "passes", "seconds"]
    print_table("mean angular error on test people", columns, cells)


def draw(tables: dict[str, dict[str, ErrorRow]], kinds: Sequence[str], target: str, path: Path) -> None:
    """A point a seed, a bar at the mean, by budget and kind."""
    figure = Figure((max(6.5, 2.2 * len(tables)), 4.3), layout="constrained")
    axes = figure.subplots()
    for (offset, kind), (number, errors) in product(enumerate(kinds), enumerate(tables.values())):
        if kind not in errors:
            continue
        first = kind not in axes.get_legend_handles_labels()[1]
        x = number + 0.8 / len(kinds) * (offset - (len(kinds) - 1) / 2)
        points = [*errors[kind].errors.values()]
        axes.plot([x] * len(points), points, "o", color=COLORS[kind], alpha=0.6, label=kind if first else None)
        axes.hlines(errors[kind].mean, x - 0.06, x + 0.06, color=COLORS[kind], lw=3)
    unit = {"macs": "MACs", "params": "parameters", "size": "bytes"}.get(target, target)
    axes.set_xticks(range(len(tables)), [f"{budget} {unit}" for budget in tables])
    title = "equal budget, data and passes; a point a seed"
    axes.set(ylabel="mean angular error on test people (degrees)", title=title)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    sys.exit(main())
