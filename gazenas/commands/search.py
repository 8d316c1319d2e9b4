"""``gazenas search``: from a search space and data to a frozen subnet."""

from __future__ import annotations

from typing import Literal

from gazenas.architecture import InputError
from gazenas.commands.common import add_recipe, add_training_arguments, make_parser, parse, recipe_values
from gazenas.commands.training import TrainingVerb, run_training
from gazenas.counting import count_params
from gazenas.models.builders import build_supernet, load_space
from gazenas.report.curves import draw_search
from gazenas.search.costs import COSTS
from gazenas.search.job import PAPER_RECIPE, Search, SearchRecipe

RECIPES = {"short": {}, "paper": PAPER_RECIPE}
HELPS = {
    "epochs": ("epochs", "passes over the training people"),
    "batch_size": ("batch_size", "images a step"),
    "lr": ("lr", "Adam's step size"),
    "decay": ("decay", "factor on the step size"),
    "decay_every": ("decay_every", "epochs between two applications of --decay"),
    "weight_decay": ("weight_decay", "of weights; importance factors have none"),
    "average": ("average", "limit of the weight average's decay"),
    "penalty_weight": ("lambda", "weight of the penalty with unit costs normalised by their mean"),
    "penalty_warm_up": ("lambda_warm_up", "share of the search over which lambda rises"),
    "cost": ("cost", f"what the penalty weighs units by: {', '.join(COSTS)}"),
    "shrink_every": ("shrink_every", "epochs between shrinks"),
    "threshold": ("threshold", "importances at or below it are removed"),
    "recalibration": ("recalibration", "batches that re-estimate BatchNorm statistics after a shrink"),
}


def run(argv: list[str]) -> None:
    """Runs the verb."""
    parser = make_parser("search", "Searches a gaze network: trains a supernet and shrinks it to a stated size.")
    add_training_arguments(parser)
    parser.add_argument("--space", type=str, default="gazenas_tiny", help="name or YAML file of the search space")
    parser.add_argument("--target_macs", "--target-macs", type=str, required=True, help="12000000, 12M, 1.2G or 40%")
    parser.add_argument(
        "--recipe", type=Literal["short", "paper"], default="short", help="which defaults to begin with"
    )
    add_recipe(parser, SearchRecipe(), HELPS)
    arguments = parse(parser, argv, RECIPES, HELPS)
    if arguments.cost not in COSTS:
        raise InputError(f"--cost: expected one of {', '.join(COSTS)}, found {arguments.cost!r}")
    recipe = SearchRecipe(**recipe_values(arguments, HELPS))
    space = load_space(arguments.space)
    verb = TrainingVerb(
        "search",
        begin=lambda job: Search(recipe, space, arguments.target_macs, job),
        sizes=_sizes,
        extra=lambda search: {
            "supernet_macs": search.schedule.full,
            "target_macs": search.schedule.target,
            "lambda": search.penalty_weight(),
        },
        draw=lambda search, place: draw_search(search.rows, search.schedule.target, place.plot_path("search")),
    )
    run_training(verb, arguments, recipe.epochs)


def _sizes(search: Search) -> dict[str, str]:
    params = count_params(build_supernet(search.space))
    return {
        "supernet": f"{search.schedule.full / 1e6:.2f} M MACs, {params:,} parameters",
        "target": f"{search.schedule.target / 1e6:.2f} M MACs",
    }
