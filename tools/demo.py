"""Runs the main job on rendered faces: synth, search, finetune, evaluate, export; ends with what was measured.

    python tools/demo.py [--out demo]

Every number of the last table is read from the files that the verbs wrote.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

TARGET = "9M"


def main() -> int:
    """Runs the verbs in order, each as a person would; stops at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for data and runs")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    data, found, tuned = out / "data", out / "search", out / "finetune"
    begun = time.monotonic()
    if not (data / "train_test_split.json").exists():
        gazenas("synth", data, "--subjects", 60, "--per-subject", 180, "--size", 64, "--seed", 0, "--overwrite")
    gazenas("data", "show", data, "--split", "test", "--out", out / "faces.png")
    gazenas(
        "search",
        "--data",
        data,
        "--space",
        "gazenas_tiny",
        "--target-macs",
        TARGET,
        "--epochs",
        5,
        "--seed",
        0,
        "--out",
        found,
        "--overwrite",
    )
    weights = ("--arch", found / "arch.json", "--weights", found / "weights.safetensors")
    gazenas("finetune", *weights, "--data", data, "--epochs", 7, "--out", tuned, "--overwrite")
    gazenas("evaluate", "--model", tuned, "--data", data, "--split", "test", "--out", out / "evaluate", "--overwrite")
    gazenas("export", "--model", tuned, "--data", data, "--out", out / "gaze.onnx")
    conclude(out, found, tuned, time.monotonic() - begun)
    return 0


def gazenas(*words: object) -> None:
    """Runs one verb and shows the command."""
    command = [sys.executable, "-m", "gazenas", *map(str, words)]
    Console().print(f"\n[bold]$ gazenas {shlex.join(command[3:])}[/bold]", soft_wrap=True, highlight=False)
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(status)


def conclude(out: Path, found: Path, tuned: Path, seconds: float) -> None:
    """The table at the end."""
    search, tuning, evaluation = (
        json.loads((folder / "summary.json").read_text(encoding="utf-8")) for folder in (found, tuned, out / "evaluate")
    )
    error, mean, pose = (
        evaluation[key] for key in ("test_error_deg", "mean_predictor_error_deg", "head_pose_error_deg")
    )
    low, high = evaluation["errors"]["interval_95_deg"]
    rows = {
        "supernet": f"{search['supernet_macs'] / 1e6:.2f} M MACs",
        "target": f"{search['target_macs'] / 1e6:.2f} M MACs",
        "found": f"{tuning['macs'] / 1e6:.2f} M MACs ({tuning['macs'] / search['supernet_macs']:.1%} of the supernet), {tuning['params']:,} parameters",
        "error after the search": f"{search['test_error_deg']:.2f}\u00b0 on {search['data']['people']['test']} people it never saw",
        "error after fine-tuning": f"{error:.2f}\u00b0 (95% interval over people {low:.2f}\u00b0 to {high:.2f}\u00b0)",
        "predicting the training mean": f"{mean:.2f}\u00b0: ours is {error / mean:.1%} of it",
        "best linear from head pose": f"{pose:.2f}\u00b0: ours is {error / pose:.1%} of it",
        "ONNX file": f"{out / 'gaze.onnx'}, {(out / 'gaze.onnx').stat().st_size:,} bytes",
        "faces": f"{out / 'faces.png'}",
        "plots": f"{found / 'plots'}, {tuned / 'plots'}, {out / 'evaluate' / 'plots'}",
        "time": f"{seconds / 60:.1f} minutes",
    }
    table = Table(title="what the demo measured, on rendered faces", title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    Console(width=120).print("\n", table)


if __name__ == "__main__":
    sys.exit(main())
