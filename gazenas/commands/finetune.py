"""``gazenas finetune``: trains an architecture, from the search's weights or fresh ones."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import Namespace

from gazenas.commands._arguments import (
    add_following_arguments,
    add_pretrained_argument,
    add_teacher_arguments,
    add_training_arguments,
    add_trial_arguments,
    add_validation_argument,
    begin_with,
    teacher_of,
)
from gazenas.commands._common import make_parser
from gazenas.commands._recipes import add_recipe, parse_with_recipe, recipe_of
from gazenas.commands._training import TrainingVerb, run_training
from gazenas.counting import count_macs, count_params
from gazenas.data.people import check_unseen, trained_people
from gazenas.errors import InputError
from gazenas.models.zoo import GazeModel, build_model, find_model
from gazenas.report.curves import draw_finetuning
from gazenas.tasks import TASKS
from gazenas.tasks.gaze import GAZE
from gazenas.training.finetuning import RECIPES, FinetuneRecipe, Finetuning
from gazenas.training.job import Job

ADVICE = (
    "draw people as that run did (--split-seed), train from fresh weights, or give --allow-seen-people, and the "
    "result says so"
)


def run(argv: list[str]) -> None:
    """Runs the verb."""
    run_finetuning(parse_arguments(argv))


def parse_arguments(argv: list[str]) -> Namespace:
    """The verb's arguments, a named recipe's defaults in place."""
    parser = make_parser("finetune", "Trains an architecture on a data folder and keeps the epoch that validates best.")
    parser.add_argument(
        "--arch", type=str, required=True, help="arch.json, a run folder, a shipped subnet, or a comparator"
    )
    parser.add_argument(
        "--task",
        type=str,
        default="",
        help=f"what is predicted, where that is not what --arch says: {', '.join(TASKS)}; gaze for a name",
    )
    parser.add_argument("--input_size", type=int, default=0, help="side of the images; 0 for the network's own")
    parser.add_argument("--weights", type=str, default="", help="safetensors to begin with; fresh weights without it")
    add_pretrained_argument(parser)
    parser.add_argument(
        "--allow_seen_people",
        "--allow-seen-people",
        action="store_true",
        help="validate and test on people that --weights were trained on as well; the output says so",
    )
    add_training_arguments(parser)
    add_following_arguments(parser)
    add_validation_argument(parser)
    add_trial_arguments(parser)
    add_teacher_arguments(parser)
    parser.add_argument(
        "--recipe", type=Literal["short", "paper"], default="short", help="which defaults to begin with"
    )
    add_recipe(parser, FinetuneRecipe)
    return parse_with_recipe(parser, argv, FinetuneRecipe, RECIPES)


def run_finetuning(arguments: Namespace, extra: Mapping[str, Any] | None = None) -> None:
    """Trains with parsed arguments.

    Args:
        arguments: of :func:`parse_arguments`.
        extra: further entries of the summary.
    """
    torch.manual_seed(arguments.seed)
    network = _build(arguments)
    pretrained = begin_with(network, arguments)
    began_with = trained_people(arguments.weights) if arguments.weights else {}

    def begin(job: Job) -> Finetuning:
        if arguments.weights:
            allow = bool(arguments.allow_seen_people)
            seen = check_unseen(arguments.weights, job.folder, ("val", "test"), advice=ADVICE, allow=allow)
            if seen:
                job.folder.notes.append(f"{arguments.weights} was trained on people of val or test: {', '.join(seen)}")
        recipe = recipe_of(arguments, FinetuneRecipe)  # of which --hours may have changed the passes
        return Finetuning(recipe, deepcopy(network), job, teacher=teacher_of(arguments, job))

    verb = TrainingVerb(
        "finetune",
        begin=begin,
        sizes=_sizes,
        draw=lambda tuning, run: draw_finetuning(
            tuning.clock.rows, tuning.best_epoch(), run.plot_path("finetune"), tuning.task
        ),
        task=network.task,
        extra={"began_with": began_with, **pretrained, **(extra or {})},
    )
    run_training(verb, arguments)


def _build(arguments: Namespace) -> GazeModel:
    """The network to begin with, of the task that is asked for."""
    asked = arguments.task or getattr(find_model(arguments.arch).described, "task", GAZE.name)
    beside = Path(arguments.weights).parent / "arch.json"
    if Path(arguments.weights).is_file() and beside.is_file():
        found = getattr(find_model(beside).described, "task", GAZE.name)
        if found != asked:
            raise InputError(
                f"--weights: expected weights for the task {asked}, found those of {found} in {arguments.weights}; "
                f"leave them out, or give --task {found}"
            )
    return build_model(
        arguments.arch, weights=arguments.weights or None, input_size=arguments.input_size or None, task=asked
    )


def _sizes(tuning: Finetuning) -> dict[str, str]:
    network = tuning.network
    macs = count_macs(network, network.input_size)
    sizes = {"network": f"{macs / 1e6:.2f} M MACs, {count_params(network):,} parameters"}
    return sizes | ({"best epoch": f"{tuning.best_epoch() + 1} of {tuning.clock.epoch}"} if tuning.clock.rows else {})
