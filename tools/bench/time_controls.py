"""Times what tools/experiments/search_against_controls.py trained: error against milliseconds, found beside made by
hand.

    python tools/bench/time_controls.py OUT [OUT...] [--repeats 300]

Every finished run of the kinds found and handmade is exported as `gazenas export` does it and run in onnxruntime on one
thread, all files in turns in one process, so that the machine's drift hits all alike; a run's milliseconds are its
fastest. Writes OUT/ms.csv, a row a run, and OUT/ms.png into the first folder, and prints means over seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from rich.console import Console
from rich.table import Table

from gazenas.commands._control import HANDMADE
from gazenas.export.footprint import interleaved_latency
from gazenas.export.onnx import onnx_bytes
from gazenas.files import write_records
from gazenas.models.zoo import load_model
from gazenas.search.searching import FOUND

COLORS = {FOUND: "#c53030", HANDMADE: "#2f855a"}


def main() -> int:
    """Exports, times, writes, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="+", help="folders of tools/experiments/search_against_controls.py")
    parser.add_argument("--repeats", type=int, default=300, help="runs of each file (default: 300)")
    arguments = parser.parse_args()
    runs = [run for out in arguments.out for run in finished(out)]
    if not runs:
        parser.error(f"expected finished runs of {FOUND} and {HANDMADE}, found none in {arguments.out}")
    with tempfile.TemporaryDirectory() as aside:
        files: dict[str, tuple[Path, int]] = {}
        for number, row in enumerate(runs):
            network = load_model(row["run"])
            path = Path(aside) / f"{number}.onnx"
            path.write_bytes(onnx_bytes(network))
            files[row["run"]] = (path, network.input_size)
        taken = interleaved_latency(files, threads=1, repeats=arguments.repeats)
    rows = [row | {"ms": round(float(taken[row["run"]].min()), 4)} for row in runs]
    out = arguments.out[0]
    write_records(out / "ms.csv", [{key: value for key, value in row.items() if key != "run"} for row in rows])
    means = by_budget(rows)
    draw(rows, means, out / "ms.png")
    table = Table("budget", "network", "ms", "error on test people", title="means over seeds")
    for (budget, kind), (ms, error) in means.items():
        table.add_row(budget, kind, f"{ms:.3f}", f"{error:.2f}\u00b0")
    Console().print(table)
    return 0


def finished(out: Path) -> list[dict[str, Any]]:
    """Budget, seed, kind, MACs and errors of every finished run of a folder."""
    rows = []
    for path in sorted(out.glob("*/seed*/seed*/*/summary.json")):
        if path.parent.name in COLORS:
            summary = json.loads(path.read_text(encoding="utf-8"))
            own = {"budget": path.parents[3].name, "network": path.parent.name, "run": str(path.parent)}
            rows.append(
                own | {key: summary[key] for key in ("seed", "macs", "params", "val_error_deg", "test_error_deg")}
            )
    return rows


def by_budget(rows: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[float, float]]:
    """Mean milliseconds and test error over seeds, by budget and kind, the fewest MACs first."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["network"], row["macs"])):
        groups.setdefault((row["budget"], row["network"]), []).append(row)
    return {
        key: (float(np.mean([row["ms"] for row in group])), float(np.mean([row["test_error_deg"] for row in group])))
        for key, group in groups.items()
    }


def draw(rows: list[dict[str, Any]], means: dict[tuple[str, str], tuple[float, float]], path: Path) -> None:
    """A point a run, a line through the means of each kind."""
    figure = Figure((6.5, 4.3), layout="constrained")
    axes = figure.subplots()
    for kind, color in COLORS.items():
        chosen = [row for row in rows if row["network"] == kind]
        axes.plot([r["ms"] for r in chosen], [r["test_error_deg"] for r in chosen], "o", color=color, alpha=0.5)
        line = sorted(mean for (_, name), mean in means.items() if name == kind)
        axes.plot([ms for ms, _ in line], [error for _, error in line], color=color, label=kind)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(
        xlabel="milliseconds an image, onnxruntime, one thread", ylabel="mean angular error on test people (degrees)"
    )
    axes.legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    sys.exit(main())
