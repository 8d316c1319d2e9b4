"""The figures of a report on backbones for GazeCapture: its networks by epoch, their running times, and step sizes,
kernels and ratios of its Ghost bottlenecks; one row of a CSV file a run.

    python tools/experiments/gazecapture_tables.py --out figures [--data GazeCapture] [--figures networks,steps]
        [--seeds 1] [--epochs 30]

Each run is ``gazenas finetune --task screen_point``, on a rendered folder (``gazenas synth --view screen``) where no
data are named. For each figure: a row a network and seed in OUT/FIGURE.csv, and all of its runs over their epochs in
one picture, OUT/FIGURE.html; ``time`` is ``gazenas benchmark --repeats 20``. Runs that several figures show are trained
once. Kill it and start it again: finished runs are kept and begun ones are gone on with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gazenas.commands._common import print_table
from gazenas.commands._experiment import Tell, exit_status
from gazenas.evaluation.experiment import Trial, error_table, keep_settings, run_trials
from gazenas.evaluation.verb_processes import VerbProcesses
from gazenas.files import safe_name, write_records
from gazenas.tasks.screen_point import SCREEN_POINT
from gazenas.tasks.task import UNITS

GHOST = "gazecapture-ghost"
STEP = 1e-3  # of all figures but that of step sizes
TIME = "time"
COLUMNS = (*("network", "lr", "seed", "macs", "params"), *map(SCREEN_POINT.key, ("val_error", "test_error")))


class Network(NamedTuple):
    """By name, and the largest learning rate that it is trained with."""

    name: str
    lr: float = STEP

    @property
    def title(self) -> str:
        """As tables and folders have it."""
        return self.name if self.lr == STEP else f"{self.name}, step {self.lr:g}"


FIGURES = {
    "networks": [
        Network(name)
        for name in ("gazecapture", "gazecapture-shuffle", GHOST, "gazecapture-reconstruction", "gazecapture-capsules")
    ],
    "steps": [Network(GHOST, lr) for lr in (1e-4, 5e-4, 1e-3, 2e-3)],
    "kernels": [*(Network(f"{GHOST}@kernel={kernel}") for kernel in ("1", "5", "7", "1-3-5-7")), Network(GHOST)],
    "ratios": [Network(GHOST), *(Network(f"{GHOST}@ratio={ratio}") for ratio in (4, 8))],
}


def main() -> int:
    """Runs what is missing; 1 where a run ended badly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder with points on a screen; rendered in OUT/data without it")
    parser.add_argument("--figures", default=",".join([*FIGURES, TIME]))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=128, help="side of the images in pixels")
    parser.add_argument("--subjects", type=int, default=60, help="people that are rendered")
    parser.add_argument("--per-subject", type=int, default=100, help="images of each")
    parser.add_argument("--jobs", type=int, default=1, help="runs beside each other")
    parser.add_argument("--threads", default="1", help="of each run")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.figures.split(",") if name not in (*FIGURES, TIME)]
    if unknown:
        parser.error(f"--figures: expected some of {', '.join([*FIGURES, TIME])}, found {unknown[0]!r}")
    return exit_status(partial(run, arguments))


def run(arguments: argparse.Namespace, tell: Tell) -> None:
    """Every figure; ``tell`` hears of what ended badly."""
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    arguments.data = arguments.data or out / "data"
    fixed = ("data", "epochs", "batch", "size", "subjects", "per_subject")
    keep_settings(out / "experiment.json", {name: str(getattr(arguments, name)) for name in fixed})
    asked = arguments.figures.split(",")
    with VerbProcesses() as verbs:
        if arguments.data == out / "data" and not arguments.data.exists():
            people = ["--subjects", str(arguments.subjects), "--per-subject", str(arguments.per_subject)]
            words = ["synth", str(arguments.data), "--view", "screen", "--size", str(arguments.size), *people]
            verbs.run(words, out / "synth.txt")
        for figure, networks in FIGURES.items():
            if figure in asked:
                trials = [
                    trial_of(each, seed, arguments, verbs) for seed in range(arguments.seeds) for each in networks
                ]
                write = partial(write_rows, out / f"{figure}.csv", networks)
                finished = run_trials(trials, report=write, jobs=arguments.jobs, failed=tell)
                if finished:
                    runs = [str(trial.path) for trial in finished]
                    verbs.run(["report", *runs, "--out", str(out / f"{figure}.html")], out / "report.txt")
                    print_figure(figure, rows_of(networks, finished))
        if TIME in asked:
            names = [*(each.name for each in FIGURES["networks"]), *(each.name for each in FIGURES["kernels"][:-1])]
            words = ["benchmark", *names, "--repeats", "20", "--input-size", str(arguments.size)]
            verbs.run([*words, "--out", str(out / TIME)], out / f"{TIME}.txt")
            print(f"running times are in {out / TIME}", flush=True)


def trial_of(network: Network, seed: int, arguments: argparse.Namespace, verbs: VerbProcesses) -> Trial:
    """One network with one seed, in OUT/runs/seedN/TITLE, whichever figures show it."""
    path: Path = arguments.out / "runs" / f"seed{seed}" / safe_name(network.title)

    def train() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        words = ["finetune", "--arch", network.name, "--task", SCREEN_POINT.name, "--data", str(arguments.data)]
        words += ["--input-size", str(arguments.size), "--lr", f"{network.lr:g}", "--epochs", str(arguments.epochs)]
        words += ["--batch-size", str(arguments.batch), "--threads", arguments.threads, "--seed", str(seed)]
        verbs.run([*words, "--resume", "--out", str(path)], path.with_name(f"{path.name}.txt"))
        print(f"{network.title}, seed {seed}: done", flush=True)

    return Trial(network.title, seed, path, train)


def rows_of(networks: Sequence[Network], finished: Sequence[Trial]) -> list[dict[str, Any]]:
    """Lines of a figure's file, by network and seed."""
    order = [each.title for each in networks]
    rows = []
    for trial in sorted(finished, key=lambda trial: (order.index(trial.name), trial.seed)):
        own = {"network": trial.name, "lr": networks[order.index(trial.name)].lr, "seed": trial.seed}
        record = trial.read() | own
        rows.append({name: record[name] for name in COLUMNS})
    return rows


def write_rows(path: Path, networks: Sequence[Network], finished: Sequence[Trial]) -> None:
    """A figure's file, of what is finished so far."""
    write_records(path, rows_of(networks, finished))


def print_figure(figure: str, rows: Sequence[dict[str, Any]]) -> None:
    """Means over seeds."""
    sign = UNITS[SCREEN_POINT.error_unit][0]
    table = error_table(rows, name="network", error=SCREEN_POINT.key("test_error"), means=("macs", "params"), sign=sign)
    cells = [
        [name, f"{row.means['macs'] / 1e6:.2f} M", f"{row.means['params']:,.0f}", *row.cells()]
        for name, row in table.items()
    ]
    print_table(
        f"{figure}: distance on test people", ["network", "MACs", "parameters", "mean", "deviation", "each seed"], cells
    )


if __name__ == "__main__":
    sys.exit(main())
