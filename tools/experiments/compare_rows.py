"""Searches and trains the paper's rows on rendered faces at equal recipe, one row of a CSV file a run, and goes on where it stopped.

    python tools/experiments/compare_rows.py --data faces --out rows [--seeds 2] [--jobs 2] [--search-epochs 4] [--epochs 10] [--target-macs 9M]

Rows are the found subnet of ``gazenas_tiny``, its two ablations, the two NAS baselines (each searched to the same budget, then
fine-tuned), and comparators from fresh weights. Everybody gets the same images, the same people held out, the same batches and as
many passes in all: a searched row ``--search-epochs`` in the search and the rest in the fine-tuning, a comparator all in the fine-tuning.
``rows.csv`` in ``--out`` is rewritten after every run; runs that are finished are kept, and one that ends badly
stops no other. At the end: a table of means and deviations, and ``rows.png``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from gazenas.files import write_records
from gazenas.report.comparison import draw_comparison

SPACES = ("gazenas_tiny", "gazenas_tiny_no_mixconv", "gazenas_tiny_no_tokens", "atomnas_vit_tiny", "hrnas_vit_tiny")
COMPARATORS = ("gazetr-hybrid", "mobilenetv2", "shufflenetv2", "ghostnet")
COLUMNS = ("row", "seed", "macs", "params", "val_error_deg", "test_error_deg", "mean_predictor_error_deg", "seconds")


class RunError(Exception):
    """A run that ended badly; the others go on."""


def run(words: list[str], out: Path, log: Path) -> None:
    """Runs a verb unless it is finished; goes on with it where it was begun."""
    if (out / "summary.json").exists():
        return
    command = [sys.executable, "-m", "gazenas", *words, "--out", str(out), "--threads", "1", "--resume"]
    with log.open("a", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RunError(f"{' '.join(command)} ended with status {done.returncode}; see {log}")


def do_row(row: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains one row with one seed; gives its line of the table."""
    place: Path = arguments.out / "runs" / row / f"seed{seed}"
    place.mkdir(parents=True, exist_ok=True)
    common = ["--data", str(arguments.data), "--seed", str(seed), "--batch-size", str(arguments.batch)]
    seconds = 0.0
    if row in SPACES:
        words = ["search", "--space", row, "--target-macs", arguments.target_macs, *common]
        run([*words, "--epochs", str(arguments.search_epochs)], place / "search", place / "log.txt")
        seconds += json.loads((place / "search" / "summary.json").read_text(encoding="utf-8"))["seconds"]
        start = ["--arch", str(place / "search"), "--weights", str(place / "search" / "weights.safetensors")]
        epochs = arguments.epochs - arguments.search_epochs
    else:
        start, epochs = ["--arch", row, "--input-size", str(arguments.input_size)], arguments.epochs
    run(["finetune", *start, *common, "--epochs", str(epochs)], place / "finetune", place / "log.txt")
    summary = json.loads((place / "finetune" / "summary.json").read_text(encoding="utf-8"))
    seconds = round(seconds + summary["seconds"], 1)
    return {"row": row, "seed": seed, **{name: summary[name] for name in COLUMNS[2:-1]}, "seconds": seconds}


def summarize(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line a row of the table: means over seeds; the deviation is None for one seed."""
    found = []
    for name in dict.fromkeys(line["row"] for line in lines):
        own = [line for line in lines if line["row"] == name]
        mean = {key: statistics.fmean(line[key] for line in own) for key in ("macs", "params", "seconds")}
        errors = [line["test_error_deg"] for line in own]
        spread = statistics.stdev(errors) if len(errors) > 1 else None
        found.append(
            {"name": name, "error_deg": statistics.fmean(errors), "spread_deg": spread, "errors": errors, **mean}
        )
    return found


def main() -> int:
    """Runs what is missing; 1 where a run ended badly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder; its images must fit --input-size")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2, help="runs beside each other, one thread each")
    parser.add_argument("--search-epochs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=10, help="in all")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--target-macs", default="9M")
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--rows", nargs="*", default=[*SPACES, *COMPARATORS], choices=[*SPACES, *COMPARATORS])
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = []
    lock = Lock()

    def one(task: tuple[str, int]) -> bool:
        try:
            line = do_row(*task, arguments)
        except RunError as error:
            print(error, file=sys.stderr, flush=True)
            return False
        with lock:
            lines.append(line)
            lines.sort(key=lambda entry: (arguments.rows.index(entry["row"]), entry["seed"]))
            write_records(arguments.out / "rows.csv", lines)
            print(f"{line['row']}, seed {line['seed']}: {line['test_error_deg']:.2f} degrees", flush=True)
        return True

    with ThreadPoolExecutor(arguments.jobs) as pool:
        done = list(pool.map(one, [(row, seed) for seed in range(arguments.seeds) for row in arguments.rows]))
    found = summarize(lines)
    for row in found:
        spread = "" if row["spread_deg"] is None else f" +- {row['spread_deg']:.2f}"
        size = f"{row['macs'] / 1e6:8.2f} M MACs {row['params'] / 1e6:7.3f} M parameters {row['seconds']:7.0f} s"
        print(f"{row['name']:24} {row['error_deg']:6.2f}{spread} degrees {size}")
    if found:
        draw_comparison(found, arguments.out / "rows.png")
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
