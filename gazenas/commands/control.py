"""``gazenas search --control random``: the found network beside itself from new weights and networks that chance drew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import Namespace

from gazenas.architecture import Architecture, InputError, read_json
from gazenas.commands.common import console, print_table, recorded_config
from gazenas.distributed import asked_for
from gazenas.report.search import draw_control
from gazenas.runs import RunFolder
from gazenas.search.chance import KINDS
from gazenas.search.job import FOUND
from gazenas.tables import write_records

SCRATCH = "scratch"
COMPARED = (FOUND, SCRATCH, *KINDS)
COLUMNS = ("control", "seed", "macs", "params", "val_error_deg", "test_error_deg", "seconds", "fingerprint")


def run_control(arguments: Namespace, run_one: Callable[[Namespace, str, Architecture | None], None]) -> None:
    """Trains every kind of network over every seed, each in a folder of its own, and compares them.

    A found network differs from a drawn one in its architecture and in weights that grew up in the supernet. The found
    architecture, trained from new weights, tells the two apart.

    Args:
        arguments: of the search; ``out`` holds the comparison and the runs.
        run_one: trains one network with given arguments, of the kind named; an architecture is trained in place of a search.

    Raises:
        InputError: under ``torchrun``, or for a dry run.
    """
    if asked_for():
        raise InputError("--control: expected one process; start each run under torchrun by itself instead")
    if arguments.dry_run:
        raise InputError("--control: a dry run is of one network: leave out --control random")
    out = Path(arguments.out)
    with RunFolder(out, "control", resume=arguments.resume, overwrite=arguments.overwrite) as place:
        place.settle_config(recorded_config(arguments))
        rows = []
        for seed in range(arguments.seed, arguments.seed + arguments.control_seeds):
            for kind in COMPARED:
                folder = out / f"seed{seed}" / kind
                if not (folder / "summary.json").exists():
                    console.print(f"seed {seed}, {kind}:")
                    changed = {"seed": seed, "out": str(folder), "resume": True, "overwrite": False}
                    values = arguments.clone()
                    values.update(Namespace(changed | {"control": "none"}))  # type: ignore[no-untyped-call]
                    found = folder.with_name(FOUND) / "arch.json"
                    run_one(values, kind, Architecture.load(found) if kind == SCRATCH else None)
                summary = read_json(folder / "summary.json")
                rows.append({"control": kind, "seed": seed} | {key: summary[key] for key in COLUMNS[2:]})
                write_records(out / "comparison.csv", rows)
        place.write_summary({"verb": "control", "runs": rows, "spread": compare(rows)})
        draw_control(rows, place.plot_path("control"))
    table = [
        [kind, f"{v['macs'] / 1e6:.2f} M", f"{v['mean']:.2f}\u00b0", f"{v['deviation']:.2f}\u00b0", v["errors"]]
        for kind, v in compare(rows).items()
    ]
    print_table(f"{out}: error over seeds", ["network", "MACs", "mean", "deviation", "each"], table)


def compare(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean and sample standard deviation over seeds of each kind's error on the test people, or validation people."""
    key = "test_error_deg" if all(row["test_error_deg"] is not None for row in rows) else "val_error_deg"
    found = {}
    for kind in COMPARED:
        errors = [row[key] for row in rows if row["control"] == kind]
        found[kind] = {
            "measured_on": key.split("_")[0],
            "mean": float(np.mean(errors)),
            "deviation": float(np.std(errors, ddof=1)) if len(errors) > 1 else 0.0,
            "errors": " ".join(f"{error:.2f}" for error in errors),
            "macs": float(np.mean([row["macs"] for row in rows if row["control"] == kind])),
        }
    return found
