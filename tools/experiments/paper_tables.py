"""The GazeNAS paper's Tables 1 to 3 and its Figure 1, made by its recipe on the data sets that somebody has, one row of
a CSV file a run, and gone on with where it stopped.

    python tools/experiments/paper_tables.py --out tables --xgaze xgaze_224 [--mpiifacegaze DIR] [--gaze360 DIR]
        [--rtgene DIR] [--eyediap DIR] [--pretrained DIR] [--rows gazenas,gazetr-hybrid] [--seeds 1] [--free] [--small]
        [any argument that search, finetune and protocol share, such as --amp bf16]

A searched row is ``gazenas search --recipe paper`` on ETH-XGaze to the printed size (with ``--free`` to none: lambda
decides, as in the paper), GazeTR-Hybrid is fine-tuned there; then ``gazenas protocol DATASET --recipe paper`` goes on
from these weights. The other methods begin every fold with fresh weights, or with ImageNet's, as the paper's did, from
``--pretrained DIR/ROW.safetensors`` (or ``.pth``; see ``gazenas finetune --pretrained``).
``--small`` takes the 64-pixel spaces at 9 M MACs, for folders of rendered faces. Rows and data sets whose folder is not
named are left out and can be added later. CADSE is not built: its numbers are the printed ones.

In ``--out``: ``errors.csv``, a row a method, data set and seed, rewritten after every run; ``sizes.csv`` with
milliseconds beside the printed ones; ``figure1.png``. Runs that are finished are kept, begun ones are gone on with, and
one that ends badly stops no other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gazenas.commands._common import print_table
from gazenas.commands._experiment import Tell, exit_status
from gazenas.counting import count_macs, count_params
from gazenas.evaluation.experiment import Trial, error_table, keep_settings, run_trials
from gazenas.evaluation.verb_processes import VerbProcesses
from gazenas.files import read_json, write_records
from gazenas.models.zoo import build_model
from gazenas.report.figure import save_figure

DATA_SETS = {"mpiifacegaze": "MPIIFaceGaze", "gaze360": "Gaze360", "rtgene": "RT-GENE", "eyediap": "EYEDIAP"}
COLORS = {"mpiifacegaze": "tab:blue", "gaze360": "tab:green", "rtgene": "tab:purple", "eyediap": "tab:red"}
MARKERS = ("o", "s", "^", "D", "*", "v", "P", "X", "<", ">", "h", "p")
GIVEN, WITHOUT_HEADS = {"rt-gene": "@head_pose"}, ("gaze360",)  # what a method gets besides images, and where it lacks
SEARCH, TUNE = "search", "finetune"  # on ETH-XGaze, before the data sets
SMALL_BUDGET, SMALL_SIZE = "9M", 64


class Row(NamedTuple):
    """A method of the paper's tables.

    Attributes:
        title: as the paper prints it.
        errors: printed, in degrees, in the order of ``DATA_SETS``.
        sizes: printed parameters in millions and MACs in G; None where none are.
        start: the verb that trains it on ETH-XGaze first, or nothing.
        small: its space at 64 pixels, where it is searched.
        budget: flags of its search.
    """

    title: str
    errors: tuple[float, float, float, float]
    sizes: tuple[float, float] | None = None
    start: str = ""
    small: str = ""
    budget: tuple[str, ...] = ()


def _budget(macs: str, params: str) -> tuple[str, ...]:
    return ("--target-macs", macs, "--target-params", params)


ROWS = {
    "full-face": Row("FullFace", (4.93, 14.99, 10.00, 6.53)),
    "rt-gene": Row("RT-GENE", (4.66, 12.26, 8.60, 6.02), (82.0, 30.81)),
    "dilated-net": Row("Dilated-Net", (4.42, 13.73, 8.38, 6.19)),
    "ca-net": Row("CA-Net", (4.27, 11.20, 8.27, 5.27)),
    "gaze360": Row("Gaze360", (4.06, 11.04, 7.06, 5.36), (14.6, 12.78)),
    "cadse": Row("CADSE", (4.04, 10.70, 7.00, 5.25), (74.8, 19.75)),
    "gazetr-hybrid": Row("GazeTR-Hybrid", (4.00, 10.62, 6.55, 5.17), (11.4, 1.84), TUNE),
    "gazenas": Row(
        *("GazeNAS-ETH", (3.96, 10.52, 6.40, 5.00), (1.027, 0.28)),
        *(SEARCH, "gazenas_tiny", _budget("280M", "1.027M")),
    ),
    "atomnas_vit": Row(
        *("AtomNAS + ViT", (4.35, 10.90, 7.50, 5.29), (0.9, 0.25)),
        *(SEARCH, "atomnas_vit_tiny", _budget("250M", "0.9M")),
    ),
    "hrnas_vit": Row(
        *("HR-NAS + ViT", (4.25, 10.65, 6.83, 5.20), (1.1, 0.32)),
        *(SEARCH, "hrnas_vit_tiny", _budget("320M", "1.1M")),
    ),
    "gazenas_no_mixconv": Row(
        *("w/o MixConv", (4.31, 10.71, 7.10, 5.21), (1.024, 0.275)),
        *(SEARCH, "gazenas_tiny_no_mixconv", _budget("275M", "1.024M")),
    ),
    "gazenas_no_tokens": Row(
        *("w/o lightweight transformer", (4.28, 10.88, 7.15, 5.25), (0.4, 0.233)),
        *(SEARCH, "gazenas_tiny_no_tokens", _budget("233M", "0.4M")),
    ),
}
PRINTED_ONLY = ("cadse",)
TABLE_1 = ("full-face", "rt-gene", "dilated-net", "ca-net", "gaze360", "cadse", "gazetr-hybrid", "gazenas")
TABLE_2 = {"rt-gene": 467, "gaze360": 276, "cadse": 379, "gazetr-hybrid": None, "gazenas": 22}  # milliseconds
TABLE_3 = ("atomnas_vit", "hrnas_vit", "gazenas", "gazenas_no_mixconv", "gazenas_no_tokens")
FIXED = ("search_epochs", "epochs", "batch", "free", "small")
Lines = list[dict[str, Any]]


def main() -> int:
    """Runs what is missing; 1 where a run ended badly."""
    arguments, more = parse()
    return exit_status(partial(run, arguments, more))


def parse() -> tuple[argparse.Namespace, list[str]]:
    """The command line, and what of it is for the verbs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--xgaze", type=Path, help="ETH-XGaze, on which networks are searched and pretrained")
    for name, title in DATA_SETS.items():
        parser.add_argument(f"--{name}", type=Path, help=f"{title}, in a layout that 'gazenas protocol {name}' reads")
    parser.add_argument("--pretrained", type=Path, help="folder of ImageNet weights, a file a method, named as --rows")
    parser.add_argument("--rows", default=",".join(ROWS), help="methods, with commas")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="runs beside each other")
    parser.add_argument("--search-epochs", type=int, default=50, help="on ETH-XGaze")
    parser.add_argument("--epochs", type=int, default=50, help="of every fold")
    parser.add_argument("--batch", type=int, default=369)
    parser.add_argument("--free", action="store_true", help="search without a budget, as the paper does")
    parser.add_argument("--small", action="store_true", help=f"{SMALL_SIZE} pixels and {SMALL_BUDGET} MACs")
    parser.add_argument("--threads", default="0", help="of each run; 0 for as many as there are cores")
    parser.add_argument("--device", default="auto")
    arguments, more = parser.parse_known_args()
    arguments.rows = arguments.rows.split(",")
    unknown = [name for name in arguments.rows if name not in ROWS]
    if unknown:
        parser.error(f"--rows: expected some of {', '.join(ROWS)}, found {unknown[0]!r}")
    if not any(getattr(arguments, name) for name in ("xgaze", *DATA_SETS)):
        parser.error(f"expected a data folder: --xgaze, {', '.join(f'--{name}' for name in DATA_SETS)}")
    return arguments, more


def run(arguments: argparse.Namespace, more: Sequence[str], tell: Tell) -> None:
    """What is missing of every method, data set and seed; ``tell`` hears of what ended badly."""
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(arguments, name) for name in FIXED}
    settings |= {"pretrained": str(arguments.pretrained or ""), "more": list(more)}
    keep_settings(out / "experiment.json", settings)
    folders = {name: getattr(arguments, name) for name in DATA_SETS if getattr(arguments, name)}
    built = [name for name in arguments.rows if name not in PRINTED_ONLY]
    wanting = [name for name in built if ROWS[name].start and not arguments.xgaze]
    if wanting:
        print(f"without --xgaze these are left out: {', '.join(wanting)}", flush=True)
    with VerbProcesses() as verbs:
        plan = Plan(arguments, more, verbs)
        rows = [name for name in built if name not in wanting]
        tried = [plan.start(name, seed) for seed in range(arguments.seeds) for name in rows if ROWS[name].start]
        begun = {(trial.name, trial.seed) for trial in run_trials(tried, jobs=arguments.jobs, failed=tell)}
        trials = [
            plan.protocol(name, dataset, folder, seed)
            for seed in range(arguments.seeds)
            for dataset, folder in folders.items()
            for name in rows
            if not ROWS[name].start or (name, seed) in begun
        ]
        report = partial(write_errors, plan)
        finished = run_trials(trials, report=report, jobs=arguments.jobs, failed=tell)
        lines = lines_of(plan, finished)
        for title, names in (("Table 1, state of the art", TABLE_1), ("Table 3, baselines and ablations", TABLE_3)):
            print_errors(title, [name for name in names if name in arguments.rows], lines)
        if lines:
            draw_figure(lines, out / "figure1.png")
        print_sizes(plan.sizes([name for name in rows if not ROWS[name].start or (name, 0) in begun]))


class Plan:
    """The runs and where they lie: ``starts/seedN/ROW`` on ETH-XGaze, ``DATASET/seedN/ROW`` on a data set.

    Args:
        arguments: of the command line.
        more: words for every verb that trains.
        verbs: runs them.
    """

    def __init__(self, arguments: argparse.Namespace, more: Sequence[str], verbs: VerbProcesses) -> None:
        self.arguments, self.verbs, self.out = arguments, verbs, Path(arguments.out)
        common = ["--recipe", "paper", "--batch-size", str(arguments.batch), "--device", arguments.device]
        self.common = [*common, "--threads", arguments.threads, *more]
        self.input_size = ["--input-size", str(SMALL_SIZE)] if arguments.small else []

    def start(self, name: str, seed: int) -> Trial:
        """A search or a fine-tuning on all people of ETH-XGaze's training set."""
        row, path = ROWS[name], self.out / "starts" / f"seed{seed}" / name
        small = self.arguments.small
        words = ["finetune", "--arch", name, *self.input_size, "--keep", "last", *self.pretrained(name)]
        if row.start == SEARCH:
            budget = ["--target-macs", SMALL_BUDGET] if small else row.budget
            words = ["search", "--space", row.small if small else name, *(() if self.arguments.free else budget)]
        words += ["--data", str(self.arguments.xgaze), "--validation", "none", "--resume"]
        return self._trial(name, seed, path, [*words, "--epochs", str(self.arguments.search_epochs)])

    def protocol(self, name: str, dataset: str, folder: Path, seed: int) -> Trial:
        """A data set's own protocol, whose folds begin with what was trained on ETH-XGaze, where anything was."""
        path = self.out / dataset / f"seed{seed}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        keep_settings(self.out / dataset / "experiment.json", {"data": str(folder)})
        if ROWS[name].start:
            start = [str(self.start(name, seed).path)]
        else:
            given = "" if dataset in WITHOUT_HEADS else GIVEN.get(name, "")
            start = [f"{name}{given}", *self.input_size, *self.pretrained(name)]
        words = ["protocol", dataset, "--arch", *start, "--data", str(folder)]
        return self._trial(name, seed, path, [*words, "--epochs", str(self.arguments.epochs)])

    def pretrained(self, name: str) -> list[str]:
        """Flags for the ImageNet weights of a method, where there is a file of them."""
        folder: Path | None = self.arguments.pretrained
        files = [] if folder is None else [folder / f"{name}{end}" for end in (".safetensors", ".pth", ".pt")]
        return next((["--pretrained", str(file)] for file in files if file.is_file()), [])

    def _trial(self, name: str, seed: int, path: Path, words: Sequence[str]) -> Trial:
        def train() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            own = ["--seed", str(seed), "--out", str(path)]
            self.verbs.run([*words, *self.common, *own], path.with_suffix(".txt"))
            print(f"{path}: done", flush=True)

        return Trial(name, seed, path, train)

    def counts(self, name: str, seed: int) -> dict[str, int]:
        """MACs and parameters of a method."""
        if ROWS[name].start:
            record = self.start(name, seed).read()
            return {"macs": record["macs"], "params": record["params"]}
        network = build_model(name, input_size=SMALL_SIZE if self.arguments.small else None)
        return {"macs": count_macs(network, network.input_size), "params": count_params(network)}

    def sizes(self, names: Sequence[str]) -> Lines:
        """MACs, parameters and milliseconds of methods, measured anew in one process; ``sizes.csv``."""
        if not names:
            return []
        timed = {name: str(self.start(name, 0).path) if ROWS[name].start else name for name in names}
        path = self.out / "latency"
        words = ["benchmark", *timed.values(), *self.input_size, "--out", str(path)]
        self.verbs.run(words, path.with_suffix(".txt"))
        medians = read_json(path / "summary.json")["ms"]["one thread"]
        lines = [{"row": name, **self.counts(name, 0), "ms": medians[name]["median"]} for name in names]
        write_records(self.out / "sizes.csv", lines)
        return lines


def lines_of(plan: Plan, finished: Sequence[Trial]) -> Lines:
    """Lines of ``errors.csv``, by data set, method and seed."""
    lines, counted = [], {}
    for trial in finished:
        key = (trial.name, trial.seed if ROWS[trial.name].start else 0)
        counted[key] = counted.get(key) or plan.counts(*key)
        record, dataset = trial.read(), trial.path.parents[1].name
        known = {"row": trial.name, "dataset": dataset, "seed": trial.seed, "error_deg": record["mean_over_folds_deg"]}
        known |= {"std_over_folds_deg": record["std_over_folds_deg"], "folds": record["folds_done"]}
        lines.append(known | counted[key])
    order, sets = list(ROWS), list(DATA_SETS)
    return sorted(lines, key=lambda line: (sets.index(line["dataset"]), order.index(line["row"]), line["seed"]))


def write_errors(plan: Plan, finished: Sequence[Trial]) -> None:
    """``errors.csv`` of what is finished so far."""
    write_records(plan.out / "errors.csv", lines_of(plan, finished))


def print_errors(title: str, names: Sequence[str], lines: Lines) -> None:
    """Means over seeds of the methods, the printed number behind each."""
    tables = {
        dataset: error_table([line for line in lines if line["dataset"] == dataset], name="row")
        for dataset in DATA_SETS
    }
    cells = []
    for name in names:
        shown = []
        for printed, table in zip(ROWS[name].errors, tables.values(), strict=True):
            here = f"{table[name].mean:.2f}\u00b0" if name in table else ""
            shown.append(f"{here} ({printed:.2f}\u00b0)".strip())
        cells.append([ROWS[name].title, *shown])
    print_table(f"{title}: angular error here, mean over folds and seeds (printed)", ["", *DATA_SETS.values()], cells)


def print_sizes(lines: Lines) -> None:
    """Table 2, and the sizes of Table 3: here on this machine, and as printed."""
    cells = []
    for line in lines:
        row, ms = ROWS[line["row"]], TABLE_2.get(line["row"])
        printed = ["", ""] if row.sizes is None else [f"{row.sizes[0]} M", f"{row.sizes[1]} G"]
        here = [f"{line['params'] / 1e6:.3f} M", f"{line['macs'] / 1e9:.3f} G", f"{line['ms']:.1f}"]
        both = zip(here, [*printed, "" if ms is None else str(ms)], strict=True)
        cells.append([row.title, *(f"{own} ({other})" if other else own for own, other in both)])
    if cells:
        columns = ["", "parameters", "MACs", "ms an image, one thread"]
        print_table("Table 2, and the sizes of Table 3: here (printed)", columns, cells)


def draw_figure(lines: Lines, path: Path) -> None:
    """Figure 1: error against MACs, a color a data set and a mark a method; hollow marks are the printed numbers."""
    figure = Figure((9, 5.5), layout="constrained")
    axes = figure.subplots()
    names = [name for name in ROWS if any(line["row"] == name for line in lines) or name in TABLE_2]
    marks = dict(zip(ROWS, MARKERS, strict=True))
    for number, dataset in enumerate(DATA_SETS):
        color = COLORS[dataset]
        own = [line for line in lines if line["dataset"] == dataset]
        for name, row in error_table(own, name="row", means=("macs",)).items():
            axes.plot(row.means["macs"] / 1e9, row.mean, marks[name], color=color, markersize=8)
        for name in names:
            sizes = ROWS[name].sizes
            if sizes is not None:
                axes.plot(sizes[1], ROWS[name].errors[number], marks[name], color=color, mfc="none", alpha=0.6)
    axes.set(xscale="log", xlabel="MACs of an image (G)", ylabel="mean angular error (degrees)")
    axes.grid(alpha=0.3)
    entries = [Line2D([], [], color=color, lw=3, label=DATA_SETS[name]) for name, color in COLORS.items()]
    entries += [Line2D([], [], color="k", ls="", marker=marks[name], label=ROWS[name].title) for name in names]
    entries += [Line2D([], [], color="k", ls="", marker="o", mfc="none", alpha=0.6, label="hollow: as printed")]
    figure.legend(handles=entries, loc="outside right center", frameon=False)
    save_figure(figure, path)


if __name__ == "__main__":
    sys.exit(main())
