"""``gazenas finetune``: trains an architecture, from the search's weights or fresh ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jsonargparse import Namespace

from gazenas.commands._common import (
    add_recipe,
    add_training_arguments,
    make_parser,
    parse_with_recipe,
    recipe_of,
)
from gazenas.commands._training import TrainingVerb, run_training
from gazenas.counting import count_macs, count_params
from gazenas.models.zoo import build_model
from gazenas.report.curves import draw_finetuning
from gazenas.training.finetuning import PAPER_RECIPE, FinetuneRecipe, Finetuning

RECIPES = {"short": {}, "paper": PAPER_RECIPE}


def run(argv: list[str]) -> None:
    """Runs the verb."""
    run_finetuning(parse_arguments(argv))


def parse_arguments(argv: list[str]) -> Namespace:
    """The verb's arguments, a named recipe's defaults in place."""
    parser = make_parser("finetune", "Trains an architecture on a data folder and keeps the epoch that validates best.")
    parser.add_argument(
        "--arch", type=str, required=True, help="arch.json, a run folder, a shipped subnet, or a comparator"
    )
    parser.add_argument("--input_size", type=int, default=0, help="side of the images; 0 for the network's own")
    parser.add_argument("--weights", type=str, default="", help="safetensors to begin with; fresh weights without it")
    add_training_arguments(parser)
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
    recipe = recipe_of(arguments, FinetuneRecipe)
    torch.manual_seed(arguments.seed)
    network = build_model(arguments.arch, weights=arguments.weights or None, input_size=arguments.input_size or None)
    verb = TrainingVerb(
        "finetune",
        begin=lambda job: Finetuning(recipe, network, job),
        sizes=_sizes,
        extra=lambda tuning: {
            "best_epoch": tuning.best_epoch() + 1,
            "epochs": tuning.clock.epoch,
            **(extra or {}),
        },
        draw=lambda tuning, run: draw_finetuning(tuning.clock.rows, tuning.best_epoch(), run.plot_path("finetune")),
    )
    run_training(verb, arguments, recipe.epochs)


def _sizes(tuning: Finetuning) -> dict[str, str]:
    network = tuning.network
    macs = count_macs(network, network.input_size)
    sizes = {"network": f"{macs / 1e6:.2f} M MACs, {count_params(network):,} parameters"}
    return sizes | ({"best epoch": f"{tuning.best_epoch() + 1} of {tuning.clock.epoch}"} if tuning.clock.rows else {})
