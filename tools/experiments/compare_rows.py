"""Searches and trains the paper's rows on rendered faces at equal recipe, one row of a CSV file a run, and goes on
where it stopped.

    python tools/experiments/compare_rows.py --data faces --out rows [--seeds 2] [--jobs 2] [--search-epochs 4]
    [--epochs 10]
        [--target-macs 9M]

Rows are the found subnet of ``gazenas_tiny``, its two ablations, the two NAS baselines (each searched to the same
budget, then fine-tuned), and comparators from fresh weights. Everybody gets the same images, the same people held out,
the same batches and as
many passes in all: a searched row ``--search-epochs`` in the search and the rest in the fine-tuning, a comparator all
in the fine-tuning.
``rows.csv`` in ``--out`` is rewritten after every run; runs that are finished are kept, and one that ends badly
stops no other. At the end: a table of means and deviations, and ``rows.png``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gazenas.commands._common import print_table
from gazenas.commands._experiment import Tell, exit_status
from gazenas.evaluation.experiment import Trial, error_table, keep_settings, run_trials
from gazenas.evaluation.verb_processes import VerbProcesses
from gazenas.files import read_json, write_records
from gazenas.report.comparison import draw_comparison

SPACES = ("gazenas_tiny", "gazenas_tiny_no_mixconv", "gazenas_tiny_no_tokens", "atomnas_vit_tiny", "hrnas_vit_tiny")
COMPARATORS = ("gazetr-hybrid", "mobilenetv2", "shufflenetv2", "ghostnet")
COLUMNS = ("row", "seed", "macs", "params", "val_error_deg", "test_error_deg", "mean_predictor_error_deg", "seconds")
FIXED = ("data", "batch", "search_epochs", "epochs", "target_macs", "input_size")


def main() -> int:
    """Runs what is missing; 1 where a run ended badly."""
    return exit_status(partial(run, parse()))


def run(arguments: argparse.Namespace, tell: Tell) -> None:
    """Every row and seed; ``tell`` hears of what ended badly."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    keep_settings(arguments.out / "experiment.json", {name: str(getattr(arguments, name)) for name in FIXED})
    with VerbProcesses() as verbs:
        trials = [trial_of(row, seed, arguments, verbs) for seed in range(arguments.seeds) for row in arguments.rows]
        finished = run_trials(
            trials,
            report=lambda done: write_records(arguments.out / "rows.csv", lines_of(done, arguments.rows)),
            jobs=arguments.jobs,
            failed=tell,
        )
    if finished:
        conclude(lines_of(finished, arguments.rows), arguments.out)


def parse() -> argparse.Namespace:
    """The command line."""
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
    return parser.parse_args()


def trial_of(row: str, seed: int, arguments: argparse.Namespace, verbs: VerbProcesses) -> Trial:
    """One row with one seed: a search where it is a space, and a fine-tuning."""
    place: Path = arguments.out / "runs" / row / f"seed{seed}"
    search, tuned = place / "search", place / "finetune"
    common = ["--data", str(arguments.data), "--seed", str(seed), "--batch-size", str(arguments.batch)]
    common += ["--threads", "1", "--resume"]

    def train() -> None:
        place.mkdir(parents=True, exist_ok=True)
        epochs, start = arguments.epochs, ["--arch", row, "--input-size", str(arguments.input_size)]
        if row in SPACES:
            epochs -= arguments.search_epochs
            start = ["--arch", str(search), "--weights", str(search / "weights.safetensors")]
            if not (search / "summary.json").exists():
                words = ["search", "--space", row, "--target-macs", arguments.target_macs, *common]
                words += ["--epochs", str(arguments.search_epochs), "--out", str(search)]
                verbs.run(words, place / "log.txt")
        words = ["finetune", *start, *common, "--epochs", str(epochs), "--out", str(tuned)]
        verbs.run(words, place / "log.txt")
        print(f"{row}, seed {seed}: {read_json(tuned / 'summary.json')['test_error_deg']:.2f} degrees", flush=True)

    return Trial(row, seed, tuned, train)


def lines_of(finished: Sequence[Trial], rows: Sequence[str]) -> list[dict[str, Any]]:
    """Lines of ``rows.csv``; the seconds are those of the search and of the fine-tuning."""
    lines = []
    for trial in sorted(finished, key=lambda trial: (rows.index(trial.name), trial.seed)):
        record, search = trial.read(), trial.path.with_name("search") / "summary.json"
        seconds = record["seconds"] + (read_json(search)["seconds"] if search.exists() else 0.0)
        own = {"row": trial.name, "seed": trial.seed, "seconds": round(seconds, 1)}
        lines.append({name: (record | own)[name] for name in COLUMNS})
    return lines


def conclude(lines: Sequence[Mapping[str, Any]], out: Path) -> None:
    """The table and the picture."""
    errors = error_table(lines, name="row", error="test_error_deg", means=("macs", "params", "seconds"))
    cells = []
    for name, row in errors.items():
        sizes = [f"{row.means[key] / 1e6:.3f} M" for key in ("macs", "params")]
        cells.append([name, *row.cells(), *sizes, f"{row.means['seconds']:.0f}"])
    columns = ["network", "mean", "deviation", "each seed", "MACs", "parameters", "seconds"]
    print_table("mean angular error on test people", columns, cells)
    shown = [
        {"name": name, "error_deg": row.mean, "spread_deg": row.deviation, **row.means} for name, row in errors.items()
    ]
    draw_comparison(shown, out / "rows.png")


if __name__ == "__main__":
    sys.exit(main())
