"""``gazenas search --control``: the found network beside others of the same budget, over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import Namespace

from gazenas.commands import finetune
from gazenas.commands._common import console, flag_of, print_table, recorded_config
from gazenas.errors import InputError
from gazenas.files import read_json, write_records
from gazenas.models.baselines import Baseline
from gazenas.report.search import draw_control
from gazenas.search.random_baseline import KINDS
from gazenas.search.recipe import SearchRecipe
from gazenas.search.searching import FOUND
from gazenas.space.architecture import Architecture
from gazenas.training.finetuning import FinetuneRecipe
from gazenas.training.processes import asked_for
from gazenas.training.run_folder import RunFolder

SCRATCH, HANDMADE = "scratch", "handmade"
# By the word of --control, the kinds of network that it adds, and what they are.
CONTROLS: dict[str, tuple[tuple[str, ...], str]] = {
    "random": ((SCRATCH, *KINDS), "the found architecture from new weights, uniformly thinned and random ones"),
    "scratch": ((SCRATCH,), "the found architecture from new weights alone"),
    "handmade": ((HANDMADE,), "a plain residual network scaled to the budget"),
}
RIVAL_FILE = "handmade.json"
COLUMNS = ("control", "seed", "macs", "params", "val_error_deg", "test_error_deg", "seconds", "fingerprint")


def controls_of(text: str) -> tuple[str, ...]:
    """The words of ``--control``, such as ``random,handmade``; empty for ``none``.

    Raises:
        InputError: where one is unknown or there twice.
    """
    words = tuple(word.strip() for word in text.split(","))
    if words == ("none",):
        return ()
    if not set(words) <= set(CONTROLS) or len(set(words)) != len(words):
        raise InputError(
            f"--control: expected none, or each once and with commas, {', '.join(CONTROLS)}, found {text!r}"
        )
    return words


def compared_kinds(controls: Sequence[str]) -> tuple[str, ...]:
    """The kinds of network that are compared, the found one first."""
    return tuple(dict.fromkeys([FOUND, *(kind for word in controls for kind in CONTROLS[word][0])]))


def finetune_recipe_of(recipe: SearchRecipe) -> FinetuneRecipe:
    """How the hand-made rival trains beside a search: every number that both have is the search's, and the last epoch is kept."""
    shared = {field.name for field in fields(FinetuneRecipe)} & {field.name for field in fields(recipe)}
    return FinetuneRecipe(**{name: getattr(recipe, name) for name in shared} | {"keep": "last"})


def run_control(
    arguments: Namespace,
    controls: Sequence[str],
    recipe: SearchRecipe,
    run_one: Callable[[Namespace, str, Architecture | None], None],
    scale_rival: Callable[[], Baseline],
) -> None:
    """Trains every kind of network over every seed, each in a folder of its own, and compares them.

    A found network differs from a drawn one in its architecture and in weights that grew up in the supernet. The found
    architecture, trained from new weights, tells the two apart. The hand-made rival says what anybody would have had
    without a search.

    Args:
        arguments: of the search; ``out`` holds the comparison and the runs.
        controls: words of ``--control``.
        recipe: of the search.
        run_one: trains one network with given arguments, of the kind named; an architecture is trained in place of a search.
        scale_rival: makes the hand-made rival of the budget.

    Raises:
        InputError: under ``torchrun``, for a dry run, or where no rival fits the budget.
    """
    if asked_for():
        raise InputError("--control: expected one process; start each run under torchrun by itself instead")
    if arguments.dry_run:
        raise InputError("--control: a dry run is of one network: leave out --control")
    out, kinds = Path(arguments.out), compared_kinds(controls)
    rival = out / RIVAL_FILE
    with RunFolder(out, "control", resume=arguments.resume, overwrite=arguments.overwrite) as run:
        # Its milliseconds are measured: a resumed comparison goes on with the widths that it began with.
        wanted = HANDMADE in kinds and (arguments.overwrite or not rival.exists())
        spec = scale_rival().architecture() if wanted else None
        run.resolve_config(recorded_config(arguments))
        if spec is not None:
            spec.save(rival)
        rows = []
        for seed in range(arguments.seed, arguments.seed + arguments.control_seeds):
            for kind in kinds:
                folder = out / f"seed{seed}" / kind
                if not (folder / "summary.json").exists():
                    console.print(f"seed {seed}, {kind}:")
                    values = _own(arguments, seed, folder)
                    found = folder.with_name(FOUND) / "arch.json"
                    if kind == HANDMADE:
                        finetune.run_finetuning(_rival_arguments(values, recipe, rival), {"control": HANDMADE})
                    else:
                        run_one(values, kind, Architecture.load(found) if kind == SCRATCH else None)
                summary = read_json(folder / "summary.json")
                rows.append({"control": kind, "seed": seed} | {key: summary[key] for key in COLUMNS[2:]})
                write_records(out / "comparison.csv", rows)
        run.write_summary({"verb": "control", "runs": rows, "spread": spreads(rows)})
        draw_control(rows, run.plot_path("control"))
    _print(out, spreads(rows))


def _own(arguments: Namespace, seed: int, folder: Path) -> Namespace:
    """The arguments of one run."""
    values = arguments.clone()
    changed = {"seed": seed, "out": str(folder), "resume": True, "overwrite": False, "control": "none"}
    values.update(Namespace(changed))  # type: ignore[no-untyped-call]
    return values


def _rival_arguments(values: Namespace, recipe: SearchRecipe, arch: Path) -> Namespace:
    """The arguments of a fine-tuning of the rival: the search's where both verbs have one, its recipe's numbers among them."""
    arguments = finetune.parse_arguments(["--arch", str(arch), "--data", values.data, "--out", values.out])
    own = finetune_recipe_of(recipe)
    for name in values.as_dict().keys() & arguments.as_dict().keys() - {"config", "recorded", "recipe"}:
        arguments[name] = values[name]
    for field in fields(own):
        arguments[flag_of(field)] = getattr(own, field.name)
    return arguments


def spreads(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By kind, mean and sample standard deviation over seeds of the error on the test people, or validation people, and means of sizes."""
    key = "test_error_deg" if all(row["test_error_deg"] is not None for row in rows) else "val_error_deg"
    found = {}
    for kind in dict.fromkeys(row["control"] for row in rows):
        own = [row for row in rows if row["control"] == kind]
        errors = [row[key] for row in own]
        found[kind] = {
            "measured_on": key.split("_")[0],
            "mean": float(np.mean(errors)),
            "deviation": float(np.std(errors, ddof=1)) if len(errors) > 1 else 0.0,
            "errors": " ".join(f"{error:.2f}" for error in errors),
            **{name: float(np.mean([row[name] for row in own])) for name in ("macs", "params", "seconds")},
        }
    return found


def _print(out: Path, spreads: dict[str, dict[str, Any]]) -> None:
    found = spreads[FOUND]["mean"]
    table = [
        [
            kind,
            f"{v['macs'] / 1e6:.2f} M",
            f"{v['params']:,.0f}",
            f"{v['mean']:.2f}\u00b0",
            f"{v['deviation']:.2f}\u00b0",
            "" if kind == FOUND else f"{v['mean'] - found:+.2f}\u00b0",
            v["errors"],
            f"{v['seconds']:.0f}",
        ]
        for kind, v in spreads.items()
    ]
    columns = ["network", "MACs", "parameters", "mean", "deviation", "above found", "each", "seconds"]
    print_table(f"{out}: error over seeds", columns, table)
