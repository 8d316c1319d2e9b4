"""``gazenas search``: from a search space and data to a frozen subnet."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gazenas.architecture import InputError
from gazenas.commands.common import (
    RichProgress,
    add_recipe,
    add_training_arguments,
    console,
    degrees,
    make_parser,
    parse,
    print_dry_run,
    print_table,
    recipe_values,
    recorded_config,
    use_device,
)
from gazenas.counting import count_macs, count_params
from gazenas.data import DATASETS
from gazenas.engine import gaze_loss
from gazenas.models.builders import load_space
from gazenas.report.architecture import draw_architecture
from gazenas.report.curves import draw_search
from gazenas.report.predictions import draw_prediction_plots
from gazenas.runs import RunFolder
from gazenas.search.costs import COSTS
from gazenas.search.job import PAPER_RECIPE, Search, SearchRecipe
from gazenas.search.penalty import Penalty
from gazenas.training import Job, step_time

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
    parser.add_argument(
        "--target_macs", "--target-macs", type=str, required=True, help="MACs to end with: 12000000, 12M, 1.2G or 40%"
    )
    parser.add_argument(
        "--recipe",
        type=Literal["short", "paper"],
        default="short",
        help="defaults of what follows: for minutes on a CPU, or the paper's",
    )
    add_recipe(parser, SearchRecipe(), HELPS)
    arguments = parse(parser, argv, RECIPES, HELPS)
    if arguments.cost not in COSTS:
        raise InputError(f"--cost: expected one of {', '.join(COSTS)}, found {arguments.cost!r}")
    recipe = SearchRecipe(**recipe_values(arguments, HELPS))
    space = load_space(arguments.space)
    device = use_device(arguments.device, arguments.threads)
    folder = DATASETS["ethxgaze"](Path(arguments.data), seed=arguments.seed)
    if arguments.dry_run:
        _dry_run(recipe, arguments, Job(folder, None, arguments.seed, device, arguments.workers, None), space)  # type: ignore[arg-type]
        return
    with (
        RunFolder(Path(arguments.out), resume=arguments.resume, overwrite=arguments.overwrite) as place,
        RichProgress() as progress,
    ):
        job = Job(folder, place, arguments.seed, device, arguments.workers, progress)
        search = Search(recipe, space, arguments.target_macs, job)
        config = place.settle_config(recorded_config(arguments))
        use_device(arguments.device, config["threads"])
        for note in folder.notes:
            job.say(note)
        state = place.load_checkpoint() if arguments.resume else None
        if state is not None:
            search.load_state(state)
            job.say(f"resumed after epoch {search.epoch}")
        full, target = search.schedule.full, search.schedule.target
        subnet = search.run()
        extra = {"supernet_macs": full, "target_macs": target, "lambda": search.penalty_weight()}
        summary = job.conclude("search", subnet, extra)
        draw_search(search.rows, target, place.plot_path("search"))
        draw_architecture(subnet.architecture(), place.plot_path("architecture"))
        shown = job.reference_split()
        draw_prediction_plots(job.split(shown), job.predictions[shown], place.path / "plots")
    print_table(
        f"search: {place.path}",
        ["", ""],
        [
            ["supernet", f"{full / 1e6:.2f} M MACs"],
            ["target", f"{target / 1e6:.2f} M MACs"],
            ["found", f"{summary['macs'] / 1e6:.2f} M MACs, {summary['params']:,} parameters"],
            ["validation error", degrees(summary["val_error_deg"])],
            ["test error", degrees(summary["test_error_deg"])],
            ["mean predictor", degrees(summary["mean_predictor_error_deg"])],
            ["best linear from head pose", degrees(summary["head_pose_error_deg"])],
        ],
    )
    console.print(f"architecture, weights, metrics and plots are in {place.path}")


def _dry_run(recipe: SearchRecipe, arguments: object, job: Job, space: object) -> None:
    search = Search(recipe, space, arguments.target_macs, job)  # type: ignore[attr-defined, arg-type]
    batch = next(search.loader.epoch(0))
    weighted = Penalty(search.network, recipe.cost)

    def step() -> None:
        search.optimizer.zero_grad()
        (gaze_loss(search.network(batch.images), batch.gaze) + recipe.penalty_weight * weighted()).backward()  # type: ignore[no-untyped-call]
        search.optimizer.step()

    seconds, memory = step_time(step)
    macs = count_macs(search.network, search.space.input_size)
    sizes = {
        "supernet": f"{macs / 1e6:.2f} M MACs, {count_params(search.network):,} parameters",
        "target": f"{search.schedule.target / 1e6:.2f} M MACs",
        "training images": f"{len(search.loader.split):,}",
    }
    print_dry_run(recorded_config(arguments), sizes, seconds, memory, recipe.epochs * len(search.loader))  # type: ignore[arg-type]
