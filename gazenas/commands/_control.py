"""``gazenas search --control``: the found network beside others of the same budget, over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from gazenas.commands import finetune
from gazenas.commands._common import console, print_table, recorded_config
from gazenas.commands._recipes import flag_of
from gazenas.errors import InputError
from gazenas.evaluation.experiment import ErrorRow, Trial, error_table, run_trials
from gazenas.files import write_records
from gazenas.models.baselines import Baseline
from gazenas.report.search import draw_control
from gazenas.search.random_baseline import KINDS
from gazenas.search.recipe import SearchRecipe
from gazenas.search.searching import FOUND
from gazenas.space.architecture import Architecture
from gazenas.tasks import TASKS
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import UNITS, Task
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
    """How the hand-made rival trains beside a search: every number that both have is the search's, and the last epoch
    is kept."""
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
        run_one: trains one network with given arguments, of the kind named; an architecture is trained in place of a
            search.
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
        seeds = range(arguments.seed, arguments.seed + arguments.control_seeds)
        trials = [_trial(arguments, seed, kind, recipe, run_one) for seed, kind in product(seeds, kinds)]
        table, task = out / "comparison.csv", TASKS[arguments.task]
        rows = _rows(run_trials(trials, report=lambda finished: write_records(table, _rows(finished, task))), task)
        errors = errors_by_kind(rows, task)
        run.write_summary({"verb": "control", "runs": rows, "spread": summarize_errors(errors, rows, task)})
        draw_control(errors, measured_on(rows, task), run.plot_path("control"), task)
    _print(out, errors)


def _trial(
    arguments: Namespace,
    seed: int,
    kind: str,
    recipe: SearchRecipe,
    run_one: Callable[[Namespace, str, Architecture | None], None],
) -> Trial:
    """One kind of network with one seed; what is found comes first, since the others may be of its architecture."""
    out = Path(arguments.out)
    folder = out / f"seed{seed}" / kind
    values = _own(arguments, seed, folder)

    def train() -> None:
        console.print(f"seed {seed}, {kind}:")
        if kind == HANDMADE:
            finetune.run_finetuning(_rival_arguments(values, recipe, out / RIVAL_FILE), {"control": HANDMADE})
        else:
            found = folder.with_name(FOUND) / "arch.json"
            run_one(values, kind, Architecture.load(found) if kind == SCRATCH else None)

    return Trial(kind, seed, folder, train)


def _rows(finished: Sequence[Trial], task: Task) -> list[dict[str, Any]]:
    """Lines of ``comparison.csv``."""
    rows = []
    columns = ("macs", "params", task.key("val_error"), task.key("test_error"), "seconds", "fingerprint")
    for trial in finished:
        record = trial.read()
        rows.append({"control": trial.name, "seed": trial.seed} | {key: record[key] for key in columns})
    return rows


def _own(arguments: Namespace, seed: int, folder: Path) -> Namespace:
    """The arguments of one run."""
    values = arguments.clone()
    changed = {"seed": seed, "out": str(folder), "resume": True, "overwrite": False, "control": "none"}
    values.update(Namespace(changed))  # type: ignore[no-untyped-call]
    return values


def _rival_arguments(values: Namespace, recipe: SearchRecipe, arch: Path) -> Namespace:
    """The arguments of a fine-tuning of the rival: the search's where both verbs have one, its recipe's numbers among
    them."""
    arguments = finetune.parse_arguments(["--arch", str(arch), "--data", values.data, "--out", values.out])
    own = finetune_recipe_of(recipe)
    for name in values.as_dict().keys() & arguments.as_dict().keys() - {"config", "recorded", "recipe"}:
        arguments[name] = values[name]
    for field in fields(own):
        arguments[flag_of(field)] = getattr(own, field.name)
    return arguments


def errors_by_kind(rows: Sequence[Mapping[str, Any]], task: Task = GAZE) -> dict[str, ErrorRow]:
    """By kind, errors over seeds on the test people, or on the validation people where test files carry no labels."""
    error = task.key(f"{measured_on(rows, task)}_error")
    sign = UNITS[task.error_unit][0]
    return error_table(rows, name="control", error=error, means=("macs", "params", "seconds"), sign=sign)


def measured_on(rows: Sequence[Mapping[str, Any]], task: Task = GAZE) -> str:
    """The split whose errors are compared: ``test``, or ``val`` where test files carry no labels."""
    return "test" if all(row[task.key("test_error")] is not None for row in rows) else "val"


def summarize_errors(
    errors: Mapping[str, ErrorRow], rows: Sequence[Mapping[str, Any]], task: Task = GAZE
) -> dict[str, dict[str, Any]]:
    """What ``summary.json`` says of each kind; ``deviation`` is None for one seed."""
    return {
        kind: {
            "measured_on": measured_on(rows, task),
            "mean": row.mean,
            "deviation": row.deviation,
            "errors": row.cells()[-1],
            **row.means,
        }
        for kind, row in errors.items()
    }


def _print(out: Path, errors: Mapping[str, ErrorRow]) -> None:
    table = []
    for kind, row in errors.items():
        mean, deviation, each = row.cells()
        above = row.above_cell(errors[FOUND])
        size = [f"{row.means['macs'] / 1e6:.2f} M", f"{row.means['params']:,.0f}"]
        table.append([kind, *size, mean, deviation, above, each, f"{row.means['seconds']:.0f}"])
    columns = ["network", "MACs", "parameters", "mean", "deviation", "above found", "each", "seconds"]
    print_table(f"{out}: error over seeds", columns, table)
