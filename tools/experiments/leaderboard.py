"""The leaderboard: every search space of 64 pixels, hand-made rivals and published comparators on the same rendered
faces by the same recipe, a row of a CSV file a run, each with the command that makes it alone.

    python tools/experiments/leaderboard.py --out board [--rows 'handmade*'] [--seeds 2] [--epochs 10] [--jobs 2]

Renders OUT/data where it is absent, trains what is missing, each run on one thread, exports and verifies its ONNX file,
and at the end times all files in turns in one process, onnxruntime on one thread; a file's milliseconds are its
fastest. Shipped subnets are measured on the same people as they are. OUT/leaderboard.csv is rewritten after every run:
kill it and start it again as you like; a row whose verb fails is said and stops no other.
``leaderboard_page.py OUT/leaderboard.csv`` makes the page of it.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gazenas.commands._common import print_table
from gazenas.commands._experiment import Tell, exit_status
from gazenas.commands.ls import LICENSES
from gazenas.evaluation.experiment import Trial, error_table, keep_settings, run_trials
from gazenas.evaluation.verb_processes import VerbProcesses
from gazenas.export.footprint import interleaved_latency
from gazenas.export.timing import describe_machine
from gazenas.files import read_csv, read_json, write_json, write_records
from gazenas.models.zoo import list_subnets

SIZE = 64  # pixels
BUDGETS = ("4.5M", "9.15M", "18M")  # MACs
SPACES = {
    "gazenas_fast_tiny": BUDGETS,
    "gazenas_tiny": BUDGETS[:2],
    "gazenas_tiny_no_mixconv": BUDGETS[1:2],
    "gazenas_tiny_no_tokens": BUDGETS[1:2],
    "atomnas_vit_tiny": BUDGETS[:2],
    "hrnas_vit_tiny": BUDGETS[1:2],
}
# Widths nearest to the proportions of handmade-9m and handmade-mobile-9m that take 98 to 100% of each budget.
RIVALS = {
    "handmade": ("16-20-24-36", "24-28-36-56", "32-40-52-76"),
    "handmade-window": ("24-24-36-56", "32-36-52-76", "44-52-72-108"),
    "handmade-mobile": ("16-16-28-64", "24-24-44-88", "32-32-72-132"),
}
COMPARATORS = (
    *("squeezenet", "squeezenet@9", "mobilenetv2", "mobilenetv3", "shufflenetv2", "ghostnet", "resnet18"),
    *("gazetr-hybrid", "gaze360", "hopenet-shufflenetv2", "gazecapture", "gazecapture-ghost", "gazecapture-shuffle"),
    "gazecapture-reconstruction",
)
STEP_SIZES = {"squeezenet": "1e-3"}  # without BatchNorm the usual one does not train it
SPACE, RIVAL, COMPARATOR, SHIPPED = "space", "rival", "comparator", "shipped"
MEASURED = ("macs", "params", "ms", "test_error_deg", "seconds")
COLUMNS = (
    *("kind", "name", "budget", "seed", *MEASURED, "commit", "date", "machine", "data", "command"),
    *("design", "license"),
)
Words = list[str]


class Row(NamedTuple):
    """A line of the table, over seeds.

    Attributes:
        kind: what it is.
        name: of the space or network.
        budget: of MACs; empty where the network has none.
        words: the verb that makes it, and what is particular to it.
    """

    kind: str
    name: str
    budget: str
    words: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name and budget: what ``--rows`` is compared with, and of its folders and files."""
        return f"{self.name}-{self.budget}" if self.budget else self.name


def all_rows() -> list[Row]:
    """Every row, in the order of the table."""
    rows = [
        Row(SPACE, name, budget, ("search", "--space", name, "--target-macs", budget))
        for name, budgets in SPACES.items()
        for budget in budgets
    ]
    for name, widths in RIVALS.items():
        rows += [Row(RIVAL, name, *_trained(f"{name}@{each}", at)) for at, each in zip(BUDGETS, widths, strict=True)]
    rows += [Row(COMPARATOR, name, *_trained(name, "")) for name in COMPARATORS]
    small = [name for name in list_subnets() if "-224-" not in name]
    return rows + [Row(SHIPPED, name, "", ("evaluate", "--model", name)) for name in small]


def _trained(arch: str, budget: str) -> tuple[str, tuple[str, ...]]:
    """A budget, and the verb that trains a network by name; as in a search, the last epoch is kept."""
    step = STEP_SIZES.get(arch.partition("@")[0])
    words = ("finetune", "--arch", arch, "--input-size", str(SIZE), "--keep", "last")
    return budget, (*words, "--lr", step) if step else words


class Plan:
    """Says what makes the run of a row, makes it, and keeps what was measured.

    Args:
        arguments: of the command line.
        verbs: runs them.
    """

    def __init__(self, arguments: argparse.Namespace, verbs: VerbProcesses) -> None:
        self.arguments, self.verbs, self.out = arguments, verbs, Path(arguments.out)
        self.data = self.out / "data"
        self.synth = ["synth", str(self.data), "--subjects", str(arguments.subjects)]
        self.synth += ["--per-subject", str(arguments.per_subject), "--size", str(SIZE), "--seed", "21"]

    def trial(self, row: Row, seed: int) -> Trial:
        """A row with one seed."""
        file = f"{row.key}-seed{seed}.json"
        return Trial(row.key, seed, self.out / "rows", lambda: self.make(row, seed), file)

    def words(self, row: Row, seed: int, run: Path) -> Words:
        """The verb with all of its arguments."""
        words = [*row.words, "--data", str(self.data), "--threads", "1"]
        if row.kind == SHIPPED:
            return [*words, "--out", str(run), "--overwrite"]
        return [*words, "--epochs", str(self.arguments.epochs), "--seed", str(seed), "--out", str(run), "--resume"]

    def make(self, row: Row, seed: int) -> None:
        """Trains where that is not done, exports, and writes the record last."""
        name = f"{row.key}-seed{seed}"
        run, file, log = (
            self.out / "runs" / name,
            self.out / "files" / f"{name}.onnx",
            self.out / "logs" / f"{name}.txt",
        )
        for path in (run, file, log, self.out / "rows" / name):
            path.parent.mkdir(parents=True, exist_ok=True)
        words = self.words(row, seed, run)
        if not (run / "summary.json").exists():
            self.verbs.run(words, log)
        source = row.name if row.kind == SHIPPED else str(run)
        export = ["export", "--model", source, "--data", str(self.data), "--images", "64", "--out", str(file)]
        self.verbs.run(export, log)
        summary = read_json(run / "summary.json")
        own = {"kind": row.kind, "name": row.name, "budget": row.budget, "seed": "" if row.kind == SHIPPED else seed}
        record = own | {key: summary[key] for key in ("macs", "params", "test_error_deg")}
        record["seconds"] = "" if row.kind == SHIPPED else summary["seconds"]
        record |= {"commit": commit(), "date": f"{datetime.now(timezone.utc):%Y-%m-%d}", "onnx": str(file)}
        record |= {"data": shlex.join(["gazenas", *self.synth]), "command": shlex.join(["gazenas", *words])}
        write_json(self.out / "rows" / f"{name}.json", record)
        print(f"{name}: {record['test_error_deg']:.2f} degrees", flush=True)


def main() -> int:
    """Runs what is missing, then times; 1 where a run ended badly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("board"))
    parser.add_argument("--rows", default="*", help="pattern of names and budgets, such as 'handmade*' or '*-9.15M'")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10, help="passes over the training people")
    parser.add_argument("--subjects", type=int, default=60, help="people; a fifth are tested on, a tenth validate")
    parser.add_argument("--per-subject", type=int, default=100, help="images of each")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, one thread each")
    parser.add_argument("--repeats", type=int, default=300, help="times that each file is run")
    arguments = parser.parse_args()
    chosen = [row for row in all_rows() if fnmatchcase(row.key, arguments.rows)]
    if not chosen:
        keys = ", ".join(row.key for row in all_rows())
        parser.error(f"--rows: expected a pattern of some of {keys}, found {arguments.rows!r}")
    return exit_status(partial(run, arguments, chosen))


def run(arguments: argparse.Namespace, chosen: Sequence[Row], tell: Tell) -> None:
    """The rows and their seeds; ``tell`` hears of what ended badly."""
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    keep_settings(
        out / "experiment.json", {name: getattr(arguments, name) for name in ("epochs", "subjects", "per_subject")}
    )
    with VerbProcesses() as verbs:
        plan = Plan(arguments, verbs)
        if not (plan.data / "train_test_split.json").exists():
            print(f"rendering faces in {plan.data}", flush=True)
            verbs.run([*plan.synth, "--overwrite"])
        trials = [
            plan.trial(row, seed)
            for seed in range(arguments.seeds)
            for row in chosen
            if seed == 0 or row.kind != SHIPPED  # what is not trained has no second seed
        ]
        run_trials(trials, report=lambda done: write_table(out), jobs=arguments.jobs, failed=tell)
    time_files(out, arguments.repeats)
    conclude(write_table(out))


def commit() -> str:
    """Of this repository, with a + where files of the package differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        found = [
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (
                ["rev-parse", "--short", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no", ":/gazenas", ":/search_spaces"],
            )
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found[0] + ("+" if found[1] else "")


def finished(out: Path) -> list[dict[str, Any]]:
    """Records of everything that is finished in OUT, whatever this call was asked for, in the order of the table."""
    order = [row.key for row in all_rows()]
    records = [read_json(path) for path in sorted((out / "rows").glob("*.json"))]
    keyed = {Row(r["kind"], r["name"], r["budget"], ()).key: None for r in records}
    order += [key for key in keyed if key not in order]
    return sorted(
        records, key=lambda r: (order.index(Row(r["kind"], r["name"], r["budget"], ()).key), int(r["seed"] or 0))
    )


def time_files(out: Path, repeats: int) -> None:
    """OUT/ms.json: milliseconds of each file, all in turns; kept where these same files were timed."""
    files = [record["onnx"] for record in finished(out)]
    path = out / "ms.json"
    if not files or (path.exists() and sorted(read_json(path)["ms"]) == sorted(files)):
        return
    print(f"timing {len(files)} files", flush=True)
    taken = interleaved_latency({file: (Path(file), SIZE) for file in files}, threads=1, repeats=repeats)
    machine = describe_machine(1)
    said = f"{machine['processor']}, {machine['system']} {machine['machine']}, onnxruntime {machine['onnxruntime']}"
    write_json(path, {"machine": said, "ms": {file: round(float(taken[file].min()), 4) for file in files}})


def write_table(out: Path) -> list[dict[str, Any]]:
    """OUT/leaderboard.csv of everything that is finished; milliseconds are empty until it is timed."""
    timed: dict[str, Any] = {"machine": "", "ms": {}}
    if (out / "ms.json").exists():
        timed = read_json(out / "ms.json")
    said = {line["name"]: line for name in ("models", "spaces") for line in read_csv(LICENSES[name])}
    rows = []
    for record in finished(out):
        ms = timed["ms"].get(record["onnx"], "")
        design = said.get(record["name"].partition("@")[0], {})
        theirs = {key: design[key] for key in ("design", "license")} if design.get("design") else {}
        more = {"ms": ms, "machine": timed["machine"] if ms else "", **theirs}
        rows.append({name: (record | more).get(name, "") for name in COLUMNS})
    write_records(out / "leaderboard.csv", rows)
    return rows


def conclude(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints means over seeds."""
    named = [{**row, "row": f"{row['name']} {row['budget']}".strip()} for row in rows]
    timed = all(row["ms"] != "" for row in rows)
    means = ("macs", "params", "ms") if timed else ("macs", "params")
    errors = error_table(named, name="row", error="test_error_deg", means=means)
    cells = []
    for name, row in errors.items():
        sizes = [f"{row.means['macs'] / 1e6:.2f} M", f"{row.means['params']:,.0f}"]
        cells.append([name, *sizes, f"{row.means['ms']:.3f}" if timed else "", *row.cells()])
    titles = ["network", "MACs", "parameters", "ms", "error", "deviation", "each seed"]
    print_table("mean angular error on unseen people", titles, cells)


if __name__ == "__main__":
    sys.exit(main())
