"""``gazenas search``: from a search space and data to a frozen subnet."""

from __future__ import annotations

from typing import Literal

from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from gazenas.commands._arguments import (
    add_budget_arguments,
    add_following_arguments,
    add_teacher_arguments,
    add_training_arguments,
    add_trial_arguments,
    add_validation_argument,
    targets_of,
    teacher_of,
)
from gazenas.commands._common import make_parser
from gazenas.commands._control import CONTROLS, HANDMADE, controls_of, run_control
from gazenas.commands._recipes import add_recipe, parse_with_recipe, recipe_of
from gazenas.commands._training import TrainingVerb, run_training
from gazenas.costs.budget import show
from gazenas.counting import count_params
from gazenas.errors import InputError
from gazenas.models.zoo import build_supernet, load_space
from gazenas.report.curves import draw_search
from gazenas.report.search import draw_family, draw_importances
from gazenas.search.random_baseline import UNIFORM
from gazenas.search.recipe import RECIPES, SearchRecipe
from gazenas.search.rival import scaled_rival
from gazenas.search.searching import FOUND, Search
from gazenas.search.targets import make_plan
from gazenas.space.architecture import Architecture
from gazenas.tasks import TASKS, find_task
from gazenas.tasks.gaze import GAZE
from gazenas.training.job import Job
from gazenas.training.run_folder import RunFolder

ADVICE = (
    "use another --out, or go on from a finished search to a smaller budget: gazenas prune RUN --kind channels "
    "--target-macs N --data DIR --out DIR"
)


def _parse(argv: list[str]) -> Namespace:
    parser = make_parser(
        "search",
        "Searches a gaze network: trains a supernet and shrinks it to a stated size. One budget, or two together, or a "
        "family; without any, a fixed --lambda decides how much goes, as in the paper (--recipe paper). "
        "'gazenas prune RUN --kind channels --target-macs N' goes on from a finished search to a smaller budget.",
    )
    add_training_arguments(parser)
    add_following_arguments(parser)
    add_validation_argument(parser)
    add_trial_arguments(parser)
    add_teacher_arguments(parser)
    parser.add_argument("--task", type=str, default=GAZE.name, help=f"what is predicted: {', '.join(TASKS)}")
    parser.add_argument("--space", type=str, default="gazenas_tiny", help="name or YAML file of the search space")
    add_budget_arguments(parser, lambda quantity: quantity.help)
    parser.add_argument(
        "--targets", type=str, default="", help="several MACs, such as 5M,10M,20M: one search freezes a subnet at each"
    )
    parser.add_argument(
        "--channel_multiple",
        type=NonNegativeInt,
        default=0,
        help="the number of channels that leave together, such as 8 or 16, since a runtime computes as many at once; "
        "0 takes the latency table's under --target-ms, else the space's",
    )
    parser.add_argument(
        "--recipe", type=Literal["short", "paper"], default="short", help="which defaults to begin with"
    )
    parser.add_argument(
        "--control",
        type=str,
        default="none",
        help="also train others of the same budget with the same passes, data and seeds, and compare; several with "
        "commas: " + "; ".join(f"{name}, {text}" for name, (_, text) in CONTROLS.items()),
    )
    parser.add_argument(
        "--control_seeds",
        type=PositiveInt,
        default=3,
        help="how many seeds, from --seed on, --control compares over",
    )
    add_recipe(parser, SearchRecipe)
    return parse_with_recipe(parser, argv, SearchRecipe, RECIPES)


def run(argv: list[str]) -> None:
    """Runs the verb."""
    arguments = _parse(argv)
    recipe = recipe_of(arguments, SearchRecipe)
    controls = controls_of(arguments.control)
    space, task = load_space(arguments.space), find_task(arguments.task)
    family = tuple(part.strip() for part in arguments.targets.split(",") if part.strip())
    targets = targets_of(arguments, family)
    budgeted = bool(family or any(targets.budgets.values()))
    if not (budgeted or recipe.penalty_weight):
        raise InputError("--target-macs: expected a budget, or a --lambda that decides how much goes; found neither")

    def search_of(values: Namespace, job: Job, control: str, given: Architecture | None = None) -> Search:
        own = recipe_of(values, SearchRecipe)  # of which --hours may have changed the passes
        if not values.validation:
            job.folder.split("val")  # refuses where nobody is held out and nobody said that this is meant
        return Search(own, space, targets, job, control, given, task, teacher=teacher_of(values, job))

    def run_one(values: Namespace, control: str, given: Architecture | None = None) -> None:
        shrinks = control == FOUND and budgeted
        verb = TrainingVerb(
            "search",
            begin=lambda job: search_of(values, job, control, given),
            sizes=_sizes,
            draw=_draw,
            task=task,
            settled=(lambda job: search_of(values, job, UNIFORM), recipe.shrink_until) if shrinks else None,
            advice=ADVICE,
        )
        run_training(verb, values)

    if not controls:
        run_one(arguments, FOUND)
        return
    if not budgeted:
        raise InputError("--control: expected a budget such as --target-macs, which the others share")
    if arguments.hours:
        raise InputError(
            "--control: expected --epochs, which the others share, found --hours; --dry-run --hours without --control "
            "says how many passes fit"
        )
    recipe.check()
    amounts = make_plan(targets, build_supernet(space, task=task.name)).targets if HANDMADE in controls else {}
    run_control(arguments, controls, recipe, run_one, lambda: scaled_rival(amounts, space.input_size, task=task))


def _draw(search: Search, run: RunFolder) -> None:
    draw_search(search.clock.rows, search.plan.targets.get("macs"), run.plot_path("search"), search.task)
    draw_importances(search.histograms, run.plot_path("importances"))
    if search.family:
        draw_family(search.measured_family(), run.plot_path("family"), search.task)


def _sizes(search: Search) -> dict[str, str]:
    params = count_params(build_supernet(search.space, task=search.task.name))
    units = {resource.name: resource.unit for resource in search.plan.resources}
    asked = ", ".join(f"{show(target)} {units[name]}" for name, target in search.plan.targets.items())
    rows = {
        "supernet": f"{search.full_macs / 1e6:.2f} M MACs, {params:,} parameters",
        "budget": asked or f"none: lambda {search.recipe.penalty_weight:g} decides",
    }
    if search.clock.rows and search.plan.targets:
        rows["reached"] = ", ".join(f"{show(amount)} {units[name]}" for name, amount in search.amounts().items())
    return rows
