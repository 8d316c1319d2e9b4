"""What ``search`` and ``finetune`` do alike: folders, progress, resuming, the end, the dry run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from jsonargparse import Namespace

from gazenas.commands._common import RichProgress, console, print_table, recorded_config, use_device
from gazenas.commands._following import apart_from_events, check_following, followers
from gazenas.commands._pace import TIMED_STEPS, Pace, measure_pace, passes_within, peak_memory_words
from gazenas.data.dataset import GazeFolder
from gazenas.data.fraction import keep_fraction
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.data.validation import NONE, train_on_everybody
from gazenas.models.network import Network
from gazenas.report.architecture import draw_architecture
from gazenas.report.page import write_report
from gazenas.report.predictions import draw_prediction_plots
from gazenas.tasks.task import Task
from gazenas.training.conclusion import conclude
from gazenas.training.job import Job
from gazenas.training.processes import joined
from gazenas.training.run_folder import RunFolder
from gazenas.training.signals import Interruption
from gazenas.training.trainer import Trainer

T = TypeVar("T", bound=Trainer)


@dataclass(frozen=True)
class TrainingVerb(Generic[T]):
    """What is particular to a verb.

    Attributes:
        name: the verb.
        begin: makes the trainer, each time anew; refuses what does not fit.
        sizes: what is trained, as rows of a table.
        draw: the verb's own plots.
        task: what is trained for.
        extra: further entries of the summary.
        settled: where the network becomes smaller, makes a trainer of one as small as it will be, and after which share
            of the passes it is; to tell how long a run takes.
        advice: what to do where a run in ``--out`` was begun otherwise.
    """

    name: str
    begin: Callable[[Job], T]
    sizes: Callable[[T], dict[str, str]]
    draw: Callable[[T, RunFolder], None]
    task: Task
    extra: Mapping[str, Any] = field(default_factory=dict)
    settled: tuple[Callable[[Job], Trainer], float] | None = None
    advice: str = "use another --out"


def run_training(verb: TrainingVerb[T], arguments: Namespace) -> None:
    """Runs a training verb with parsed arguments, alone or as one of several processes."""
    begun = time.monotonic()
    check_following(arguments)
    device = use_device(arguments.device, arguments.threads, arguments.workers, deterministic=arguments.deterministic)
    with joined(device) as world, Interruption() as interruption, apart_from_events(arguments):
        if not world.main:
            console.quiet = True
        folder = open_data(Path(arguments.data), Reading(split_seed=arguments.split_seed, needs=verb.task.keys))
        if arguments.get("validation"):
            folder = _with_everybody(folder, arguments, verb.task)
        folder = keep_fraction(folder, arguments.get("fraction", 1.0), arguments.seed)

        def job_in(run: RunFolder, progress: RichProgress) -> Job:
            return Job(folder, run, arguments.seed, device, arguments.workers, progress, world)

        if not arguments.dry_run:
            run = RunFolder(
                Path(arguments.out), verb.name, resume=arguments.resume, overwrite=arguments.overwrite, main=world.main
            )
        if arguments.get("hours"):
            decided = world.take(None if arguments.dry_run else _recorded_passes(run, arguments.hours))
            decided = decided or world.take(_passes(verb, arguments.hours, begun, job_in))
            arguments.epochs, story = decided
            folder.notes.append(story)
        if arguments.dry_run:
            with _aside(verb.name) as run:
                _dry_run(verb, verb.begin(job_in(run, RichProgress())), arguments)
            return
        with run, RichProgress() as progress, followers(arguments, run) as following:
            job = job_in(run, progress)
            job.followers, job.interruption, job.save_minutes = following, interruption, arguments.save_minutes
            _train(verb, arguments, job)


def _with_everybody(folder: GazeFolder, arguments: Namespace, task: Task) -> GazeFolder:
    """The folder with all its people in training, validated where ``--validation`` says."""
    if arguments.validation == NONE:
        return train_on_everybody(folder, None, task)
    other = open_data(Path(arguments.validation), Reading(split_seed=arguments.split_seed, needs=task.keys))
    return train_on_everybody(folder, other, task)


@contextmanager
def _aside(verb: str) -> Iterator[RunFolder]:
    """A run folder for what nobody keeps."""
    with tempfile.TemporaryDirectory() as folder, RunFolder(Path(folder) / "run", verb) as run:
        yield run


def _recorded_passes(run: RunFolder, hours: float) -> tuple[int, str] | None:
    """What ``--hours`` decided when a run began, and a sentence; None where it begins now, or asks for others."""
    recorded = run.recorded() if (run.path / "config.yaml").is_file() and not run.overwrite else {}
    if recorded.get("hours") != hours:
        return None
    return recorded["epochs"], f"--hours {hours:g}: {recorded['epochs']} passes, decided when the run began"


def _passes(
    verb: TrainingVerb[T], hours: float, begun: float, job_in: Callable[[RunFolder, RichProgress], Job]
) -> tuple[int, str]:
    """How many passes fit ``--hours``, measured, and a sentence."""

    def pace(begin: Callable[[Job], Trainer]) -> Pace:
        with _aside(verb.name) as run:
            job = job_in(run, RichProgress())
            job.folder = replace(job.folder, notes=[*job.folder.notes])  # what begins adds its own once more
            return measure_pace(begin(job))

    def whole() -> Pace:
        first = pace(verb.begin)
        return first if verb.settled is None else first.until(verb.settled[1], pace(verb.settled[0]))

    return passes_within(hours, begun, whole)


def _train(verb: TrainingVerb[T], arguments: Namespace, job: Job) -> None:
    """From settled arguments to the last table."""
    run, world = job.run, job.world
    trainer = verb.begin(job)
    config = run.resolve_config(recorded_config(arguments), verb.advice) if world.main else {}
    config = world.take(config)
    use_device(arguments.device, config["threads"], deterministic=arguments.deterministic)
    for note in [*run.notes, *job.folder.notes]:
        job.say(note)
    if arguments.resume:
        world.wait()  # for the folder that rank 0 opened
        trainer.resume()
    network = trainer.run()
    asked = {name: arguments[name] for name in ("fraction", "hours") if name in arguments}
    end = conclude(trainer, verb.name, network, asked | dict(verb.extra))
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
    pace = measure_pace(trainer)
    epochs = trainer.recipe.epochs
    rows = verb.sizes(trainer) | {
        "training images": f"{len(trainer.loader.split):,}",
        "steps": f"{epochs * pace.steps:,}",
        f"seconds a step (mean of {TIMED_STEPS})": f"{pace.step:.3f}",
        "hours of training, extrapolated": f"{pace.seconds(epochs) / 3600:.2f}",
        "peak memory": peak_memory_words(),
    }
    for note in trainer.job.folder.notes:
        console.print(note)
    console.print(yaml.safe_dump(recorded_config(arguments), sort_keys=False).rstrip())
    print_table("dry run", ["", ""], [list(row) for row in rows.items()])
