"""The tables of Kömürcü's thesis (Uppsala 2023) on a data folder: what pruning, distillation and int8 do to networks
for gaze, without training afterwards, as there, and with it.

    python tools/experiments/compression_tables.py --data faces --out tables [--tables int8,weights] [--seeds 2]

``architectures`` trains four backbones (tables 4.2, 4.3); ``weights`` and ``channels`` prune SqueezeNet (4.4 to 4.9),
``layers`` ends it early (4.10, 4.11), ``distill`` trains students with and without teachers (4.12, 4.13), ``int8``
quantizes the four (4.14, 4.15). A row a run in ``OUT/TABLE.csv``; runs that are finished are kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gazenas.commands._common import print_table
from gazenas.commands._experiment import Tell, exit_status
from gazenas.evaluation.experiment import Trial, error_table, keep_settings, run_trials
from gazenas.evaluation.verb_processes import VerbProcesses
from gazenas.files import write_records

BACKBONES = ("squeezenet", "mobilenetv2", "resnet18", "resnet50")
STEP_SIZES = {"squeezenet": "1e-3"}  # without BatchNorm the usual one does not train it
SHARES = (0.1, 0.2, 0.3, 0.4)  # that leave, as in the thesis
LAYERS = (11, 10, 9, 7, 6, 4)
LESSONS = (
    ("resnet18", "mobilenetv2"),
    ("mobilenetv2", "squeezenet"),
    ("mobilenetv2", "squeezenet@9"),
    ("squeezenet", "squeezenet@9"),
)  # teacher and student
COLUMNS = ("row", "seed", "params", "macs", "val_error_deg", "test_error_deg", "seconds")
Words = list[str]


class Plan:
    """Names runs and says what makes them; a run that others begin with is made once.

    Args:
        out: folder of all runs.
        common: words that every verb gets.
        epochs: of a training.
        retrain: epochs after something was removed.
        verbs: runs them.
    """

    def __init__(self, out: Path, common: Words, epochs: int, retrain: int, verbs: VerbProcesses) -> None:
        self.out, self.common, self.epochs, self.retrain, self.verbs = out, common, epochs, retrain, verbs

    def trained(self, name: str, seed: int) -> Path:
        """The run of a network by name."""
        path = self.out / f"seed{seed}" / name.replace("@", "_until_")
        self.make(path, self.training(name), seed)
        return path

    def training(self, name: str) -> Words:
        """The verb that trains a network by name from fresh weights."""
        step = STEP_SIZES.get(name.partition("@")[0])
        words = ["finetune", "--arch", name, "--input-size", "64", "--epochs", str(self.epochs)]
        return [*words, "--lr", step] if step else words

    def make(self, path: Path, words: Words, seed: int) -> None:
        """Makes a run where it is not finished."""
        if not (path / "summary.json").exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            log = path.with_suffix(".txt")
            self.verbs.run([*words, *self.common, "--seed", str(seed), "--out", str(path), "--resume"], log)

    def trial(self, row: str, seed: int, path: Path, train: Callable[[], object]) -> Trial:
        """A row of a table with one seed."""
        return Trial(row, seed, path, train)

    def architectures(self, seed: int) -> list[Trial]:
        """Tables 4.2 and 4.3."""
        return [self._training(name, name, seed) for name in BACKBONES]

    def layers(self, seed: int) -> list[Trial]:
        """Tables 4.10 and 4.11."""
        return [self._training(f"until {layer}", f"squeezenet@{layer}", seed) for layer in LAYERS]

    def weights(self, seed: int) -> list[Trial]:
        """Tables 4.4 to 4.7: by amount, and by a threshold."""
        amounts = {f"{share:.0%} of weights": ["--kind", "weights", "--amount", str(share)] for share in SHARES}
        limits = {f"below {limit:g}": ["--kind", "weights", "--threshold", f"{limit:g}"] for limit in (1e-3, 1e-2, 0.1)}
        return self._pruned(amounts | limits, seed)

    def channels(self, seed: int) -> list[Trial]:
        """Tables 4.8 and 4.9: the channels that so many parameters hang on."""
        words = {f"{share:.0%} of parameters": _channels(share) for share in SHARES}
        return self._pruned(words, seed)

    def distill(self, seed: int) -> list[Trial]:
        """Tables 4.12 and 4.13: every way to learn from a teacher beside none."""
        found = [self._training(student, student, seed) for student in dict.fromkeys(each[1] for each in LESSONS)]
        for teacher, student in LESSONS:
            for way in ("plain", "bounded"):
                row = f"{student}, {way} from {teacher}"
                path = self.out / f"seed{seed}" / row.replace(" ", "_").replace("@", "_until_").replace(",", "")
                found.append(self.trial(row, seed, path, partial(self._taught, path, teacher, student, way, seed)))
        return found

    def int8(self, seed: int) -> list[Trial]:
        """Tables 4.14 and 4.15."""
        found = []
        for name in BACKBONES:
            path = self.out / f"seed{seed}" / f"{name}_int8"
            found.append(self.trial(name, seed, path, partial(self._quantized, path, name, seed)))
        return found

    def _training(self, row: str, name: str, seed: int) -> Trial:
        path = self.out / f"seed{seed}" / name.replace("@", "_until_")
        return self.trial(row, seed, path, partial(self.trained, name, seed))

    def _pruned(self, ways: dict[str, Words], seed: int) -> list[Trial]:
        found = []
        for row, words in ways.items():
            for epochs in (0, self.retrain):
                name = f"{row}, {f'{epochs} epochs after' if epochs else 'as it is'}"
                path = self.out / f"seed{seed}" / f"squeezenet_{name.replace(' ', '_').replace(',', '')}"
                more = [*words, "--epochs", str(epochs), "--lr", "1e-3"]
                found.append(self.trial(name, seed, path, partial(self._cut, path, more, seed)))
        return found

    def _cut(self, path: Path, words: Words, seed: int) -> None:
        self.make(path, ["prune", str(self.trained("squeezenet", seed)), *words], seed)

    def _taught(self, path: Path, teacher: str, student: str, way: str, seed: int) -> None:
        words = self.training(student)
        words += ["--teacher", str(self.trained(teacher, seed)), "--distillation", way]
        self.make(path, words, seed)

    def _quantized(self, path: Path, name: str, seed: int) -> None:
        words = ["compress", str(self.trained(name, seed)), "--stages", "quantize,code", "--must-be", "smaller"]
        self.make(path, words, seed)


TABLES: dict[str, Callable[[Plan, int], list[Trial]]] = {
    "architectures": Plan.architectures,
    "weights": Plan.weights,
    "channels": Plan.channels,
    "layers": Plan.layers,
    "distill": Plan.distill,
    "int8": Plan.int8,
}


def main() -> int:
    """Runs what is missing; 1 where a run ended badly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder of 64 pixels")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=6, help="of a training")
    parser.add_argument("--retrain", type=int, default=3, help="epochs after something was removed")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.tables.split(",") if name not in TABLES]
    if unknown:
        parser.error(f"--tables: expected some of {', '.join(TABLES)}, found {unknown[0]!r}")
    return exit_status(partial(run, arguments))


def run(arguments: argparse.Namespace, tell: Tell) -> None:
    """Every table and seed; ``tell`` hears of what ended badly."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = {name: str(getattr(arguments, name)) for name in ("data", "epochs", "retrain")}
    keep_settings(arguments.out / "experiment.json", settings)
    common = ["--data", str(arguments.data), "--threads", str(arguments.threads)]
    with VerbProcesses() as verbs:
        plan = Plan(arguments.out, common, arguments.epochs, arguments.retrain, verbs)
        for table in arguments.tables.split(","):
            trials = [trial for seed in range(arguments.seeds) for trial in TABLES[table](plan, seed)]
            order = list(dict.fromkeys(trial.name for trial in trials))
            path = arguments.out / f"{table}.csv"
            done = run_trials(trials, report=partial(_write, path=path, order=order), failed=tell)
            _print(table, _rows(done, order))


def _channels(share: float) -> Words:
    """Of a global ranking by the size of a channel's weights, as the thesis has it."""
    return ["--kind", "channels", "--target-params", f"{100 - 100 * share:.0f}%", "--importance", "l2"]


def _write(done: Sequence[Trial], *, path: Path, order: Sequence[str]) -> None:
    write_records(path, _rows(done, order))


def _rows(done: Sequence[Trial], order: Sequence[str]) -> list[dict[str, Any]]:
    """Lines of a table's file, by row and seed; int8 has the float network's errors besides."""
    rows = []
    for trial in sorted(done, key=lambda trial: (order.index(trial.name), trial.seed)):
        record = trial.read()
        row = {"row": trial.name, "seed": trial.seed} | {key: record[key] for key in COLUMNS[2:]}
        if record["verb"] == "compress":
            first, *_, last = (stage for stage in record["stages"] if stage["stage"] != "code")
            row |= {"float_test_error_deg": record["float_test_error_deg"], "how": last["how"]}
            row |= {f"float_{key}": first[key] for key in ("size", "ms")} | {key: last[key] for key in ("size", "ms")}
            row["coded_size"] = record["stages"][-1]["size"]
        rows.append(row)
    return rows


def _print(table: str, rows: Sequence[dict[str, Any]]) -> None:
    errors = error_table(rows, name="row", error="test_error_deg", means=("params", "macs"))
    cells = []
    for name, row in errors.items():
        before = [each["float_test_error_deg"] for each in rows if each["row"] == name and "how" in each]
        plain = f"{sum(before) / len(before):.2f}\u00b0" if before else ""
        sizes = [f"{row.means['params']:,.0f}", f"{row.means['macs'] / 1e6:.1f} M"]
        cells.append([name, *sizes, plain, *row.cells()])
    print_table(table, ["network", "parameters", "MACs", "float", "error", "deviation", "each seed"], cells)


if __name__ == "__main__":
    sys.exit(main())
