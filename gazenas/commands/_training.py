"""What ``search`` and ``finetune`` do alike: folders, progress, resuming, the end, the dry run."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
import yaml
from jsonargparse import Namespace

from gazenas.commands._common import RichProgress, console, print_table, recorded_config, use_device
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.models.network import Network
from gazenas.report.architecture import draw_architecture
from gazenas.report.page import write_report
from gazenas.report.predictions import draw_prediction_plots
from gazenas.tasks.task import Task
from gazenas.training.conclusion import conclude
from gazenas.training.job import Job
from gazenas.training.loop import train_step
from gazenas.training.processes import joined
from gazenas.training.run_folder import RunFolder
from gazenas.training.signals import Interruption
from gazenas.training.trainer import Trainer

T = TypeVar("T", bound=Trainer)
TIMED_STEPS = 20


@dataclass(frozen=True)
class TrainingVerb(Generic[T]):
    """What is particular to a verb.

    Attributes:
        name: the verb.
        begin: makes the trainer; refuses what does not fit.
        sizes: what is trained, as rows of a table.
        draw: the verb's own plots.
        task: what is trained for.
        extra: further entries of the summary.
    """

    name: str
    begin: Callable[[Job], T]
    sizes: Callable[[T], dict[str, str]]
    draw: Callable[[T, RunFolder], None]
    task: Task
    extra: Mapping[str, Any] = field(default_factory=dict)


def run_training(verb: TrainingVerb[T], arguments: Namespace) -> None:
    """Runs a training verb with parsed arguments, alone or as one of several processes."""
    device = use_device(arguments.device, arguments.threads, arguments.workers, deterministic=arguments.deterministic)
    with joined(device) as world, Interruption() as interruption:
        if not world.main:
            console.quiet = True
        folder = open_data(Path(arguments.data), Reading(split_seed=arguments.split_seed, needs=verb.task.keys))
        if arguments.dry_run:
            with tempfile.TemporaryDirectory() as aside, RunFolder(Path(aside) / "run", verb.name) as run:
                job = Job(folder, run, arguments.seed, device, arguments.workers, RichProgress())
                _dry_run(verb, verb.begin(job), arguments)
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
    trainer = verb.begin(job)
    config = run.resolve_config(recorded_config(arguments)) if world.main else {}
    config = world.take(config)
    use_device(arguments.device, config["threads"], deterministic=arguments.deterministic)
    for note in [*run.notes, *job.folder.notes]:
        job.say(note)
    if arguments.resume:
        world.wait()  # for the folder that rank 0 opened
        trainer.resume()
    network = trainer.run()
    end = conclude(trainer, verb.name, network, verb.extra)
    if not world.main:
        return
    verb.draw(trainer, run)
    if isinstance(network, Network):
        draw_architecture(network.architecture(), run.plot_path("architecture"))
    task, shown = verb.task, job.reference_split(verb.task)
    draw_prediction_plots(job.split(shown), end.predictions[shown], run.path / "plots", task)
    write_report([run.path], run.path / "report.html")
    rows = verb.sizes(trainer) | {
        "result": f"{end.summary['macs'] / 1e6:.2f} M MACs, {end.summary['params']:,} parameters",
        "validation error": task.show(end.summary[task.key("val_error")]),
        "test error": task.show(end.summary[task.key("test_error")]),
        **{
            f"{each.title} on {shown}": task.show(end.summary[task.key(word)]) for word, each in task.references.items()
        },
    }
    print_table(f"{verb.name}: {run.path}", ["", ""], [list(row) for row in rows.items()])
    console.print(f"architecture, weights, metrics and plots are in {run.path}, a page about it is report.html")


def _dry_run(verb: TrainingVerb[T], trainer: T, arguments: Namespace) -> None:
    """Prints the resolved recipe and what a run would cost, from some timed steps."""
    seconds, memory = _measured_step(trainer)
    steps = trainer.recipe.epochs * len(trainer.loader)
    rows = verb.sizes(trainer) | {
        "training images": f"{len(trainer.loader.split):,}",
        "steps": f"{steps:,}",
        f"seconds a step (mean of {TIMED_STEPS})": f"{seconds:.3f}",
        "hours of training, extrapolated": f"{seconds * steps / 3600:.2f}",
        "peak memory": f"{memory / 2**20:,.0f} MiB",
    }
    console.print(yaml.safe_dump(recorded_config(arguments), sort_keys=False).rstrip())
    print_table("dry run", ["", ""], [list(row) for row in rows.items()])


def _measured_step(trainer: Trainer) -> tuple[float, int]:
    """Seconds of a step in the mean over ``TIMED_STEPS`` after two more, and peak memory in bytes so far."""
    batch = next(trainer.loader.epoch(0))
    trainer.network.train()
    begin = 0.0
    for number in range(2 + TIMED_STEPS):
        if number == 2:
            begin = time.perf_counter()
        train_step(
            trainer.network,
            batch,
            trainer.optimizer,
            trainer.objective,
            extra_losses=trainer.extra_losses,
            amp=trainer.recipe.amp,
        )
    seconds = (time.perf_counter() - begin) / TIMED_STEPS
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return seconds, torch.cuda.max_memory_allocated()
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
