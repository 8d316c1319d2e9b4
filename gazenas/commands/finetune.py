"""``gazenas finetune``: trains an architecture, from the search's weights or fresh ones."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

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
from gazenas.finetuning import PAPER_RECIPE, SCHEDULES, FinetuneRecipe, Finetuning
from gazenas.models.builders import build_subnet
from gazenas.report.architecture import draw_architecture
from gazenas.report.curves import draw_finetuning
from gazenas.report.predictions import draw_prediction_plots
from gazenas.runs import RunFolder
from gazenas.training import Job, step_time

RECIPES = {"short": {}, "paper": PAPER_RECIPE}
HELPS = {
    "epochs": ("epochs", "passes over the training people"),
    "batch_size": ("batch_size", "images a step"),
    "lr": ("lr", "RMSprop's step size"),
    "schedule": ("schedule", f"of the step size: {', '.join(SCHEDULES)}"),
    "decay": ("decay", "factor on the step size"),
    "decay_every": (
        "decay_every",
        "exp: epochs between two factors; plateau: epochs without a better validation error",
    ),
    "milestones": ("milestones", "steps: epochs after which the factor applies, such as [10, 15]"),
    "weight_decay": ("weight_decay", "of all weights"),
    "average": ("average", "limit of the weight average's decay"),
    "patience": ("patience", "stop after so many epochs without a better validation error; 0 never"),
}


def run(argv: list[str]) -> None:
    """Runs the verb."""
    parser = make_parser("finetune", "Trains an architecture on a data folder and keeps the epoch that validates best.")
    parser.add_argument(
        "--arch", type=str, required=True, help="arch.json, a run folder, or the name of a shipped subnet"
    )
    parser.add_argument(
        "--weights",
        type=str,
        default="",
        help="safetensors to begin with, such as a search's; fresh weights without it",
    )
    add_training_arguments(parser)
    parser.add_argument(
        "--recipe",
        type=Literal["short", "paper"],
        default="short",
        help="defaults of what follows: for minutes on a CPU, or the paper's",
    )
    add_recipe(parser, FinetuneRecipe(), HELPS)
    arguments = parse(parser, argv, RECIPES, HELPS)
    recipe = FinetuneRecipe(**recipe_values(arguments, HELPS))
    device = use_device(arguments.device, arguments.threads)
    torch.manual_seed(arguments.seed)
    network = build_subnet(arguments.arch, weights=arguments.weights or None)
    folder = DATASETS["ethxgaze"](Path(arguments.data), seed=arguments.seed)
    if arguments.dry_run:
        tuning = Finetuning(recipe, network, Job(folder, None, arguments.seed, device, arguments.workers, None))  # type: ignore[arg-type]
        _dry_run(tuning, arguments)
        return
    with (
        RunFolder(Path(arguments.out), resume=arguments.resume, overwrite=arguments.overwrite) as place,
        RichProgress() as progress,
    ):
        job = Job(folder, place, arguments.seed, device, arguments.workers, progress)
        tuning = Finetuning(recipe, network, job)
        config = place.settle_config(recorded_config(arguments))
        use_device(arguments.device, config["threads"])
        for note in folder.notes:
            job.say(note)
        state = place.load_checkpoint() if arguments.resume else None
        if state is not None:
            tuning.load_state(state)
            job.say(f"resumed after epoch {tuning.epoch}")
        best = tuning.run()
        summary = job.conclude("finetune", best, {"best_epoch": tuning.best_epoch() + 1, "epochs": tuning.epoch})
        draw_finetuning(tuning.rows, tuning.best_epoch(), place.plot_path("finetune"))
        draw_architecture(best.architecture(), place.plot_path("architecture"))
        shown = job.reference_split()
        draw_prediction_plots(job.split(shown), job.predictions[shown], place.path / "plots")
    print_table(
        f"finetune: {place.path}",
        ["", ""],
        [
            ["size", f"{summary['macs'] / 1e6:.2f} M MACs, {summary['params']:,} parameters"],
            ["best epoch", f"{summary['best_epoch']} of {summary['epochs']}"],
            ["validation error", degrees(summary["val_error_deg"])],
            ["test error", degrees(summary["test_error_deg"])],
            ["mean predictor", degrees(summary["mean_predictor_error_deg"])],
            ["best linear from head pose", degrees(summary["head_pose_error_deg"])],
        ],
    )
    console.print(f"architecture, weights, metrics and plots are in {place.path}")


def _dry_run(tuning: Finetuning, arguments: object) -> None:
    batch = next(tuning.loader.epoch(0))

    def step() -> None:
        tuning.optimizer.zero_grad()
        gaze_loss(tuning.network(batch.images), batch.gaze).backward()  # type: ignore[no-untyped-call]
        tuning.optimizer.step()

    seconds, memory = step_time(step)
    macs = count_macs(tuning.network, tuning.network.input_size)
    sizes = {
        "network": f"{macs / 1e6:.2f} M MACs, {count_params(tuning.network):,} parameters",
        "training images": f"{len(tuning.loader.split):,}",
    }
    print_dry_run(recorded_config(arguments), sizes, seconds, memory, tuning.recipe.epochs * len(tuning.loader))  # type: ignore[arg-type]
