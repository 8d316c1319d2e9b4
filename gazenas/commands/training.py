"""What ``search`` and ``finetune`` do alike: folders, progress, resuming, the end, the dry run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
import yaml
from jsonargparse import Namespace

from gazenas.commands.common import RichProgress, console, degrees, print_table, recorded_config, use_device
from gazenas.data import DATASETS
from gazenas.data.loader import Loader
from gazenas.engine import Losses, train_epoch
from gazenas.models.network import Network
from gazenas.report.architecture import draw_architecture
from gazenas.report.predictions import draw_prediction_plots
from gazenas.runs import RunFolder
from gazenas.training import Job, step_time


class Trainee(Protocol):
    """A search or a fine-tuning."""

    network: Network
    optimizer: torch.optim.Optimizer
    loader: Loader
    epoch: int

    def run(self) -> Network:
        """Trains what is left; gives the finished network."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        ...

    def extra_losses(self) -> Losses:
        """Parts of the loss besides the gaze."""
        ...


T = TypeVar("T", bound=Trainee)


@dataclass(frozen=True)
class TrainingVerb(Generic[T]):
    """What is particular to a verb.

    Attributes:
        name: the verb.
        begin: makes the trainee; refuses what does not fit.
        sizes: what is trained, as rows of a table.
        extra: the verb's own entries of the summary.
        draw: the verb's own plots.
    """

    name: str
    begin: Callable[[Job], T]
    sizes: Callable[[T], dict[str, str]]
    extra: Callable[[T], dict[str, Any]]
    draw: Callable[[T, RunFolder], None]


def run_training(verb: TrainingVerb[T], arguments: Namespace, epochs: int) -> None:
    """Runs a training verb with parsed arguments."""
    device = use_device(arguments.device, arguments.threads)
    folder = DATASETS["ethxgaze"](Path(arguments.data), seed=arguments.seed)
    if arguments.dry_run:
        with tempfile.TemporaryDirectory() as aside, RunFolder(Path(aside) / "run", verb.name) as place:
            job = Job(folder, place, arguments.seed, device, arguments.workers, RichProgress())
            _dry_run(verb, verb.begin(job), arguments, epochs)
        return
    place = RunFolder(Path(arguments.out), verb.name, resume=arguments.resume, overwrite=arguments.overwrite)
    with place, RichProgress() as progress:
        job = Job(folder, place, arguments.seed, device, arguments.workers, progress)
        trainee = verb.begin(job)
        config = place.settle_config(recorded_config(arguments))
        use_device(arguments.device, config["threads"])
        for note in folder.notes:
            job.say(note)
        state = place.load_checkpoint() if arguments.resume else None
        if state is not None:
            trainee.load_state(state)
            job.say(f"resumed after epoch {trainee.epoch}")
        network = trainee.run()
        summary = job.conclude(verb.name, network, verb.extra(trainee))
        verb.draw(trainee, place)
        draw_architecture(network.architecture(), place.plot_path("architecture"))
        shown = job.reference_split()
        draw_prediction_plots(job.split(shown), job.predictions[shown], place.path / "plots")
    rows = verb.sizes(trainee) | {
        "result": f"{summary['macs'] / 1e6:.2f} M MACs, {summary['params']:,} parameters",
        "validation error": degrees(summary["val_error_deg"]),
        "test error": degrees(summary["test_error_deg"]),
        f"mean predictor on {shown}": degrees(summary["mean_predictor_error_deg"]),
        f"best linear from head pose on {shown}": degrees(summary["head_pose_error_deg"]),
    }
    print_table(f"{verb.name}: {place.path}", ["", ""], [list(row) for row in rows.items()])
    console.print(f"architecture, weights, metrics and plots are in {place.path}")


def _dry_run(verb: TrainingVerb[T], trainee: T, arguments: Namespace, epochs: int) -> None:
    """Prints the resolved recipe and what a run would cost, from 20 timed steps."""
    batch = next(trainee.loader.epoch(0))

    def step() -> None:
        train_epoch(trainee.network, [batch], trainee.optimizer, extra_losses=trainee.extra_losses)

    seconds, memory = step_time(step)
    steps = epochs * len(trainee.loader)
    rows = verb.sizes(trainee) | {
        "training images": f"{len(trainee.loader.split):,}",
        "steps": f"{steps:,}",
        "seconds a step (mean of 20)": f"{seconds:.3f}",
        "hours of training, extrapolated": f"{seconds * steps / 3600:.2f}",
        "peak memory": f"{memory / 2**20:,.0f} MiB",
    }
    console.print(yaml.safe_dump(recorded_config(arguments), sort_keys=False).rstrip())
    print_table("dry run", ["", ""], [list(row) for row in rows.items()])
