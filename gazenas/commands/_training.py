"""What ``search`` and ``finetune`` do alike: folders, progress, resuming, the end, the dry run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import yaml
from jsonargparse import Namespace

from gazenas.commands._common import RichProgress, console, degrees, print_table, recorded_config, use_device
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.models.network import Network
from gazenas.models.zoo import GazeModel
from gazenas.report.architecture import draw_architecture
from gazenas.report.predictions import draw_prediction_plots
from gazenas.training.loop import train_epoch
from gazenas.training.processes import joined
from gazenas.training.run_folder import RunFolder
from gazenas.training.signals import Interruption
from gazenas.training.trainer import Job, Trainee, step_time


class Finisher(Trainee, Protocol):
    """A search or a fine-tuning, from its beginning to a finished network."""

    def run(self) -> GazeModel:
        """Trains what is left; gives the finished network."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        ...


T = TypeVar("T", bound=Finisher)


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
    """Runs a training verb with parsed arguments, alone or as one of several processes."""
    device = use_device(arguments.device, arguments.threads, arguments.workers)
    with joined(device) as world, Interruption() as interruption:
        if not world.main:
            console.quiet = True
        folder = open_data(Path(arguments.data), Reading(split_seed=arguments.split_seed))
        if arguments.dry_run:
            with tempfile.TemporaryDirectory() as aside, RunFolder(Path(aside) / "run", verb.name) as run:
                job = Job(folder, run, arguments.seed, device, arguments.workers, RichProgress())
                _dry_run(verb, verb.begin(job), arguments, epochs)
            return
        run = RunFolder(
            Path(arguments.out), verb.name, resume=arguments.resume, overwrite=arguments.overwrite, main=world.main
        )
        with run, RichProgress() as progress:
            job = Job(
                folder,
                run,
                arguments.seed,
                device,
                arguments.workers,
                progress,
                world,
                interruption,
                arguments.save_minutes,
            )
            _train(verb, arguments, job)


def _train(verb: TrainingVerb[T], arguments: Namespace, job: Job) -> None:
    """From settled arguments to the last table."""
    run, world = job.run, job.world
    trainee = verb.begin(job)
    config = run.resolve_config(recorded_config(arguments)) if world.main else {}
    config = world.take(config)
    use_device(arguments.device, config["threads"])
    for note in job.folder.notes:
        job.say(note)
    if arguments.resume:
        _resume(trainee, job)
    network = trainee.run()
    summary = job.conclude(verb.name, network, trainee.clock, lambda: verb.extra(trainee))
    if not world.main:
        return
    verb.draw(trainee, run)
    if isinstance(network, Network):
        draw_architecture(network.architecture(), run.plot_path("architecture"))
    shown = job.reference_split()
    draw_prediction_plots(job.split(shown), job.predictions[shown], run.path / "plots")
    rows = verb.sizes(trainee) | {
        "result": f"{summary['macs'] / 1e6:.2f} M MACs, {summary['params']:,} parameters",
        "validation error": degrees(summary["val_error_deg"]),
        "test error": degrees(summary["test_error_deg"]),
        f"mean predictor on {shown}": degrees(summary["mean_predictor_error_deg"]),
        f"best linear from head pose on {shown}": degrees(summary["head_pose_error_deg"]),
    }
    print_table(f"{verb.name}: {run.path}", ["", ""], [list(row) for row in rows.items()])
    console.print(f"architecture, weights, metrics and plots are in {run.path}")


def _resume(trainee: Finisher, job: Job) -> None:
    """Goes on from the newest readable checkpoint, where there is one."""
    job.world.wait()  # for the folder that rank 0 opened
    state, story = job.run.load_checkpoint()
    job.say(story)
    if state is None:
        return
    if state["world"] != job.world.size:
        job.say(
            f"the run had {state['world']} processes, now there are {job.world.size}: batches and steps stay the same, but BatchNorm "
            "sees other shares of them, so the end differs from that of an uninterrupted run"
        )
    trainee.load_state(state)
    step = f", step {trainee.clock.meter.steps}" if trainee.clock.meter.steps else ""
    job.say(f"resumed in epoch {trainee.clock.epoch + 1}{step}")


def _dry_run(verb: TrainingVerb[T], trainee: T, arguments: Namespace, epochs: int) -> None:
    """Prints the resolved recipe and what a run would cost, from 20 timed steps."""
    batch = next(trainee.loader.epoch(0))

    def step() -> None:
        train_epoch(
            trainee.network,
            [batch],
            trainee.optimizer,
            extra_losses=trainee.extra_losses,
            amp=trainee.recipe.amp,
        )

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
