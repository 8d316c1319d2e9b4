"""Searches and what they have to beat, at equal budget, data, passes and seeds: a row a run, resumable at any time.

    python tools/experiments/search_against_controls.py --out rivals [--control scratch,handmade] [--budgets 4.5M,9.15M,18M] [--seeds 3]
        [--equal-seconds] [--jobs 2] [any argument of `gazenas search`, such as --space or --epochs]

Renders faces where OUT/data is absent, then runs `gazenas search --control ... --resume` for each budget and seed, JOBS at a time with
their share of the cores. With --equal-seconds the hand-made rival is trained once more, for so many passes that its seconds are the
search's. After each, OUT/controls.csv (a row a run) and OUT/controls.png show what there is so far. Kill it and start it again as you
like: finished runs are kept and begun ones are gone on with.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from gazenas.commands._common import usable_cores
from gazenas.commands._control import HANDMADE, compared_kinds, controls_of
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
GAZENAS = (sys.executable, "-m", "gazenas")


def main() -> int:
    """Runs what is missing, a few at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("controls"))
    parser.add_argument("--data", type=Path, help="data folder; rendered in OUT/data without it")
    parser.add_argument("--control", default="scratch,handmade", help="what to compare with, as in gazenas search")
    parser.add_argument("--target", default="macs", help="quantity of --budgets: macs, params, size or ms")
    parser.add_argument("--budgets", default="4.5M,9.15M,18M")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--equal-seconds", action="store_true", help="also the rival trained as long as the search")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, each with its share of the cores")
    arguments, more = parser.parse_known_args()
    kinds = [*compared_kinds(controls_of(arguments.control))]
    if arguments.equal_seconds and HANDMADE not in kinds:
        parser.error("--equal-seconds: expected handmade in --control")
    kinds += [LONGER] if arguments.equal_seconds else []
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    arguments.data = arguments.data or out / "data"
    if not (arguments.data / "train_test_split.json").exists():
        subprocess.run([*GAZENAS, "synth", str(arguments.data), *PEOPLE, "--overwrite"], check=True)
    budgets = arguments.budgets.split(",")
    failed = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        parts = [
            pool.submit(run_part, arguments, more, seed, budget)
            for seed, budget in product(range(arguments.seeds), budgets)
        ]
        for part in as_completed(parts):
            failed += bool(part.result())
            report(out, budgets, kinds, arguments.target)
    return min(failed, 1)


def run_part(arguments: argparse.Namespace, more: Sequence[str], seed: int, budget: str) -> int:
    """One budget and seed in OUT/BUDGET/seedN, then, where asked for, the rival at the search's seconds; the exit status."""
    place: Path = arguments.out / budget / f"seed{seed}"
    place.parent.mkdir(exist_ok=True)
    threads = ("--threads", str(max(1, usable_cores() // arguments.jobs)))
    command = [*GAZENAS, "search", "--data", str(arguments.data), f"--target-{arguments.target}", budget]
    command += ["--control", arguments.control, "--control-seeds", "1", "--seed", str(seed)]
    command += ["--out", str(place), "--resume", *threads, *more]
    with place.with_suffix(".txt").open("ab") as log:
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
        longer = place / f"seed{seed}" / "longer"
        if status or not arguments.equal_seconds or (longer / "summary.json").exists():
            return status
        command = [*GAZENAS, "finetune", "--config", str(longer.with_name(HANDMADE) / "config.yaml")]
        command += ["--epochs", str(equal_epochs(longer.parent)), "--out", str(longer), "--resume", *threads]
        return subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode


def equal_epochs(runs: Path) -> int:
    """Passes of the rival that take as many seconds as the search did, by the seconds of its first training."""
    found, rival = (read_summary(runs / kind) for kind in (FOUND, HANDMADE))
    ratio: float = found["seconds"] / rival["seconds"]
    return max(1, round(passes(runs / HANDMADE) * ratio))


def read_summary(run: Path) -> dict[str, Any]:
    """``summary.json`` of a run."""
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    return summary


def passes(run: Path) -> int:
    """Epochs of a run."""
    return len((run / "metrics.csv").read_text(encoding="utf-8").splitlines()) - 1


def collect(out: Path, budgets: Sequence[str], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """A row for every finished run."""
    rows = []
    for budget, kind in product(budgets, kinds):
        for path in sorted((out / budget).glob(f"seed*/seed*/{'longer' if kind == LONGER else kind}/summary.json")):
            summary = read_summary(path.parent)
            own = {"budget": budget, "network": kind, "epochs": passes(path.parent)}
            rows.append({name: (summary | own)[name] for name in COLUMNS})
    return rows


def report(out: Path, budgets: Sequence[str], kinds: Sequence[str], target: str) -> None:
    """Writes the rows and the plot, and prints means."""
    rows = collect(out, budgets, kinds)
    with (out / "controls.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    Console(width=130).print(table_of(rows, budgets, kinds))
    draw(rows, budgets, kinds, target, out / "controls.png")


def of(rows: Sequence[dict[str, Any]], budget: str, kind: str) -> dict[int, dict[str, Any]]:
    """Rows of one budget and kind, by seed."""
    return {row["seed"]: row for row in rows if row["budget"] == budget and row["network"] == kind}


def table_of(rows: Sequence[dict[str, Any]], budgets: Sequence[str], kinds: Sequence[str]) -> Table:
    """Means over seeds; the difference is to the search of the same seed."""
    table = Table(title="mean angular error on test people", title_justify="left")
    titles = ("budget", "network", "mean", "deviation", "above found", "each seed", "parameters", "passes", "seconds")
    for name in titles:
        table.add_column(name, justify="right")
    for budget, kind in product(budgets, kinds):
        chosen, found = of(rows, budget, kind), of(rows, budget, FOUND)
        if not chosen:
            continue
        errors = [row["test_error_deg"] for row in chosen.values()]
        above = [row["test_error_deg"] - found[seed]["test_error_deg"] for seed, row in chosen.items()]
        table.add_row(
            budget,
            kind,
            f"{np.mean(errors):.2f}\u00b0",
            f"{np.std(errors, ddof=1):.2f}\u00b0" if len(errors) > 1 else "one seed",
            "" if kind == FOUND else f"{np.mean(above):+.2f}\u00b0",
            " ".join(f"{error:.2f}" for error in errors),
            *(f"{np.mean([row[name] for row in chosen.values()]):,.0f}" for name in ("params", "epochs", "seconds")),
        )
    return table


def draw(rows: Sequence[dict[str, Any]], budgets: Sequence[str], kinds: Sequence[str], target: str, path: Path) -> None:
    """A point a seed, a bar at the mean, by budget and kind."""
    figure = Figure((max(6.5, 2.2 * len(budgets)), 4.3), layout="constrained")
    axes = figure.subplots()
    for (number, budget), (offset, kind) in product(enumerate(budgets), enumerate(kinds)):
        errors = [row["test_error_deg"] for row in of(rows, budget, kind).values()]
        if not errors:
            continue
        x = number + 0.8 / len(kinds) * (offset - (len(kinds) - 1) / 2)
        axes.plot([x] * len(errors), errors, "o", color=COLORS[kind], alpha=0.6, label=None if number else kind)
        axes.hlines(float(np.mean(errors)), x - 0.06, x + 0.06, color=COLORS[kind], lw=3)
    axes.set_xticks(range(len(budgets)), [f"{budget} {target}" for budget in budgets])
    title = "equal budget, data and passes; a point a seed"
    axes.set(ylabel="mean angular error on test people (degrees)", title=title)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    sys.exit(main())
