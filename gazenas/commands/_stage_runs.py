"""Trainings inside ``gazenas compress``: each is a run of ``prune`` or ``finetune`` in a folder of its own."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from jsonargparse import Namespace

from gazenas.commands import finetune, prune
from gazenas.commands._common import console
from gazenas.commands._recipes import flag_of
from gazenas.compression.pipeline import TrainingOrder
from gazenas.compression.pruning import PruneRecipe
from gazenas.errors import InputError
from gazenas.models.zoo import find_model
from gazenas.training.finetuning import FinetuneRecipe

PASSED_ON = ("data", "seed", "split_seed", "device", "threads", "workers", "save_minutes")
TAUGHT = ("teacher", "distillation", "distill_weight", "teacher_faces")
PRUNE_BUDGETS = ("macs", "params", "ms")


def train_stage(arguments: Namespace, order: TrainingOrder) -> Path:
    """Makes the run that a stage asks for, goes on with it, or leaves it where it is finished; its folder.

    Args:
        arguments: of ``gazenas compress``.
        order: what to train.

    Raises:
        InputError: where the order lacks something, or the run refuses it.
    """
    name = f"{order.stage}-{order.quantize}" if order.stage == "quantize" else order.stage
    out = Path(arguments.out) / name
    if (out / "summary.json").exists():
        console.print(f"{order.stage}: {out} is finished")
        return out
    common = [word for flag in PASSED_ON for word in (f"--{flag}", str(arguments[flag]))]
    common += [
        word
        for flag in TAUGHT
        if arguments.teacher and arguments[flag] != ""
        for word in (f"--{flag}", str(arguments[flag]))
    ]
    common += ["--out", str(out), "--resume"]
    if order.stage == "prune":
        words = [order.model, "--kind", "channels", *_budget(arguments, order)]
        prune.run([*words, *common, *_recipe(arguments, PruneRecipe, "none")])
        return out
    if order.stage == "distill" and not arguments.teacher:
        raise InputError("--stages: distill needs --teacher, a run folder or a shipped name, found none")
    weights = find_model(order.model).weights
    words = ["--arch", order.model, "--weights", str(weights)]
    finetune.run([*words, *common, *_recipe(arguments, FinetuneRecipe, order.quantize)])
    return out


def _budget(arguments: Namespace, order: TrainingOrder) -> list[str]:
    """What pruning is to leave."""
    if order.params:
        return ["--target-params", str(order.params)]
    asked = {word: arguments[f"target_{word}"] for word in PRUNE_BUDGETS if arguments[f"target_{word}"]}
    if not asked:
        flags = ", ".join(f"--target-{word}" for word in PRUNE_BUDGETS)
        raise InputError(f"--stages: prune needs one of {flags}, or --target-size alone, found none")
    return [word for name, amount in asked.items() for word in (f"--target-{name}", amount)]


def _recipe(arguments: Namespace, recipe: type[FinetuneRecipe], quantize: str) -> list[str]:
    """The numbers of the recipe as words; training for few bits is the quantizing stage's alone."""
    values = {flag_of(each): arguments[flag_of(each)] for each in fields(recipe) if flag_of(each) in arguments}
    values["quantize"] = quantize
    given = {flag: str(value) for flag, value in values.items() if value is not None}
    return [word for flag, value in given.items() for word in (f"--{flag}", value)]
