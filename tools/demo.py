"""Runs the main job on rendered faces: synth, search, finetune, evaluate, export, benchmark; ends with what was
measured.

    python tools/demo.py [--out demo]

Three networks of one size: found in the paper's space, found in the fast space, made by hand. Every number of the last
tables is read from the files that the verbs wrote.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PEOPLE = ("--subjects", 60, "--per-subject", 180)
ROUNDS = 200  # of timed single images


@dataclass(frozen=True)
class Row:
    """One network of the table.

    Attributes:
        name: of its run folder and its ONNX file.
        title: what the table calls it.
        training: the verb that trains it, and all of its recipe that is not a default.
    """

    name: str
    title: str
    training: tuple[object, ...]

    def passes(self) -> int:
        """Over the training people, in all."""
        return int(str(self.training[self.training.index("--epochs") + 1]))


ROWS = (
    Row(
        "paper",
        "found in the paper's space, gazenas_tiny",
        ("search", "--space", "gazenas_tiny", "--target-macs", "9M", "--epochs", 8),
    ),
    Row(
        "fast",
        "found in the fast space, gazenas_fast_tiny",
        ("search", "--space", "gazenas_fast_tiny", "--target-macs", "9.15M", "--epochs", 12),
    ),
    Row(
        "handmade",
        "made by hand, handmade-9m",
        ("finetune", "--arch", "handmade-9m", "--epochs", 12, "--keep", "last"),  # as a search does
    ),
)


def main() -> int:
    """Runs the verbs in order, each as a person would; stops at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for data and runs")
    out = parser.parse_args().out
    run(out, ROWS)
    return 0


def run(out: Path, rows: Sequence[Row]) -> None:
    """Everything; faces that an earlier demo rendered are taken as they are."""
    out.mkdir(parents=True, exist_ok=True)
    data = out / "data"
    begun = time.monotonic()
    if not (data / "train_test_split.json").exists():
        gazenas("synth", data, *PEOPLE, "--size", 64, "--seed", 0, "--overwrite")
    gazenas("data", "show", data, "--split", "test", "--out", out / "faces.png")
    for row in rows:
        verb, *recipe = row.training
        trained, tested = out / row.name, out / f"{row.name}-test"
        gazenas(verb, *recipe, "--data", data, "--seed", 0, "--out", trained, "--overwrite")
        gazenas("evaluate", "--model", trained, "--data", data, "--split", "test", "--out", tested, "--overwrite")
        gazenas("export", "--model", trained, "--data", data, "--out", out / f"{row.name}.onnx")
    files = [out / f"{row.name}.onnx" for row in rows]
    gazenas("benchmark", *files, "--repeats", ROUNDS, "--out", out / "benchmark")
    conclude(out, rows, time.monotonic() - begun)


def gazenas(*words: object) -> None:
    """Runs one verb and shows the command."""
    command = [sys.executable, "-m", "gazenas", *map(str, words)]
    Console().print(f"\n[bold]$ gazenas {shlex.join(command[3:])}[/bold]", soft_wrap=True, highlight=False)
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(status)


def conclude(out: Path, rows: Sequence[Row], seconds: float) -> None:
    """The tables at the end."""
    tested = {row.name: summary(out / f"{row.name}-test") for row in rows}
    people = len(tested[rows[0].name]["errors"]["people"])
    table = Table(title=f"what the demo measured, on {people} rendered people no network saw", title_justify="left")
    table.add_column("network")
    for column in ("error (95% interval)", "M MACs", "parameters", "ms", "file, bytes", "passes", "training, s"):
        table.add_column(column, justify="right")
    latency = summary(out / "benchmark")["ms"]["one thread"]
    for row in rows:
        table.add_row(row.title, *cells(out, row, tested[row.name], latency[f"{row.name}.onnx"]["median"]))
    first = tested[rows[0].name]
    notes = Table(show_header=False)
    notes.add_row("predicting the training mean", f"{first['mean_predictor_error_deg']:.2f}\u00b0")
    notes.add_row("best linear from head pose", f"{first['head_pose_error_deg']:.2f}\u00b0")
    notes.add_row("ms", f"one image in onnxruntime, one thread, the files in turns, median of {ROUNDS}")
    notes.add_row("faces, plots", ", ".join(str(out / name) for name in ("faces.png", "*/plots")))
    notes.add_row("time", f"{seconds / 60:.1f} minutes")
    console = Console(width=140)
    console.print("\n", table)
    console.print(notes)


def cells(out: Path, row: Row, tested: dict[str, Any], ms: float) -> list[str]:
    """A row behind its title."""
    low, high = tested["errors"]["interval_95_deg"]
    return [
        f"{tested['test_error_deg']:.2f}\u00b0 ({low:.2f}\u00b0 to {high:.2f}\u00b0)",
        f"{tested['macs'] / 1e6:.2f}",
        f"{tested['params']:,}",
        f"{ms:.2f}",
        f"{(out / f'{row.name}.onnx').stat().st_size:,}",
        str(row.passes()),
        f"{summary(out / row.name)['seconds']:.0f}",
    ]


def summary(folder: Path) -> dict[str, Any]:
    """What a verb measured."""
    values: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return values


if __name__ == "__main__":
    sys.exit(main())
