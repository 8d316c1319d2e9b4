"""Searches and networks drawn by chance, at equal budget, data, recipe and steps: a row a run, resumable at any time.

    python tools/search_against_chance.py --out chance [--budgets 5M,10M] [--seeds 3] [--jobs 2]

Renders faces where OUT/data is absent, then runs `gazenas search --control random --resume` for each budget and seed, JOBS at a time with
their share of the cores. After each, OUT/chance.csv (a row a run) and OUT/chance.png show what there is so far. Kill it and
start it again as you like: finished runs are kept and begun ones are gone on with.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from gazenas.commands.common import usable_cores
from gazenas.commands.control import COMPARED

COLOURS = {"found": "#c53030", "scratch": "#dd6b20", "uniform": "#2b6cb0", "random": "#718096"}
COLUMNS = ("budget", "seed", "network", "macs", "params", "val_error_deg", "test_error_deg", "fingerprint", "seconds")
PEOPLE = ("--subjects", "60", "--per-subject", "200", "--size", "64", "--seed", "0")


def main() -> int:
    """Runs what is missing, a few at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("chance"))
    parser.add_argument("--data", type=Path, help="data folder; rendered in OUT/data without it")
    parser.add_argument("--space", default="gazenas_tiny")
    parser.add_argument("--budgets", default="5M,10M")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, each with its share of the cores")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    data = arguments.data or out / "data"
    if not (data / "train_test_split.json").exists():
        subprocess.run([sys.executable, "-m", "gazenas", "synth", str(data), *PEOPLE, "--overwrite"], check=True)
    budgets = arguments.budgets.split(",")
    waiting = [(seed, budget) for seed, budget in product(range(arguments.seeds), budgets)]
    running: list[subprocess.Popen[bytes]] = []
    failed = 0
    while waiting or running:
        while waiting and len(running) < arguments.jobs:
            running.append(start(arguments, data, *waiting.pop(0)))
        time.sleep(1)
        done = [process for process in running if process.poll() is not None]
        for process in done:
            running.remove(process)
            failed += bool(process.returncode)
        if done:
            report(out, budgets)
    return min(failed, 1)


def start(arguments: argparse.Namespace, data: Path, seed: int, budget: str) -> subprocess.Popen[bytes]:
    """One budget and seed: the search, what it found from new weights, and what chance drew, in OUT/BUDGET/seedN."""
    place = arguments.out / budget / f"seed{seed}"
    place.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "gazenas", "search", "--data", str(data), "--space", arguments.space]
    command += ["--target-macs", budget, "--control", "random", "--control-seeds", "1", "--seed", str(seed)]
    command += ["--epochs", str(arguments.epochs), "--lr", str(arguments.lr), "--out", str(place), "--resume"]
    command += ["--threads", str(max(1, usable_cores() // arguments.jobs))]
    log = place.with_suffix(".txt").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def collect(out: Path, budgets: list[str]) -> list[dict[str, Any]]:
    """A row for every finished run."""
    rows = []
    for budget, kind in product(budgets, COMPARED):
        for path in sorted((out / budget).glob(f"seed*/seed*/{kind}/summary.json")):
            summary = json.loads(path.read_text(encoding="utf-8"))
            rows.append({"budget": budget, "network": kind} | {k: summary[k] for k in COLUMNS if k in summary})
    return rows


def report(out: Path, budgets: list[str]) -> None:
    """Writes the rows and the plot, and prints means."""
    rows = collect(out, budgets)
    with (out / "chance.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    table = Table(title="mean angular error on test people", title_justify="left")
    for name in ("budget", "network", "mean", "deviation", "each seed", "parameters"):
        table.add_column(name, justify="right")
    figure = Figure((6.5, 4.3), layout="constrained")
    axes = figure.subplots()
    for (number, budget), (offset, kind) in product(enumerate(budgets), enumerate(COMPARED)):
        chosen = [row for row in rows if row["budget"] == budget and row["network"] == kind]
        if not chosen:
            continue
        errors = [row["test_error_deg"] for row in chosen]
        deviation = f"{np.std(errors, ddof=1):.2f}\u00b0" if len(errors) > 1 else "one seed"
        each = " ".join(f"{error:.2f}" for error in errors)
        params = f"{np.mean([row['params'] for row in chosen]):,.0f}"
        table.add_row(budget, kind, f"{np.mean(errors):.2f}\u00b0", deviation, each, params)
        x = number + 0.2 * (offset - 1.5)
        label = kind if number == 0 else None
        axes.plot([x] * len(errors), errors, "o", color=COLOURS[kind], alpha=0.6, label=label)
        axes.hlines(float(np.mean(errors)), x - 0.08, x + 0.08, color=COLOURS[kind], lw=3)
    axes.set_xticks(range(len(budgets)), [f"{budget} MACs" for budget in budgets])
    axes.set(
        ylabel="mean angular error on test people (degrees)",
        title="equal budget, data, recipe and steps; a point a seed",
    )
    axes.legend()
    figure.savefig(out / "chance.png", dpi=110, metadata={"Software": None})
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.exit(main())
