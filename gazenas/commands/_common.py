"""What the verbs share: arguments, progress bars, and how faults reach the person."""

from __future__ import annotations

import json
import os
import shutil
from argparse import BooleanOptionalAction
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field, fields, replace
from typing import Any, TypeVar, get_type_hints

import docstring_parser.google
import torch
from jsonargparse import SUPPRESS, ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gazenas.commands._allocator import keep_freed_memory
from gazenas.data.readers import DATASETS
from gazenas.data.readers.reading import FRAMES, ORDERS, Reading
from gazenas.errors import InputError
from gazenas.models.zoo import GazeModel
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task
from gazenas.training.distillation import DISTILLATIONS, Teacher, load_teacher
from gazenas.training.job import Job
from gazenas.training.recipe import TrainingRecipe

R = TypeVar("R", bound=TrainingRecipe)

# Flags that have another name now, and what to write instead.
RENAMED = {
    "--colours": "--colors",
    "--labelled": "--labeled",
    "--pressure": "--regularizer",
    "--lanes": "--channel-multiple 4",
    "--fill-lanes": "--channel-multiple 8",
    "--fill_lanes": "--channel-multiple 8",
}

# Tables keep their columns where the output is a file, for which rich would assume 80 characters.
console = Console(soft_wrap=True, highlight=False, width=max(110, shutil.get_terminal_size((110, 24)).columns))


class VerbParser(ArgumentParser):
    """A parser that takes dashes for underscores and answers old spellings with the new ones."""

    def add_argument(self, *names: str, **words: Any) -> Any:
        """Adds an argument; ``--two_words`` may also be written ``--two-words``."""
        dashed = (f"--{name[2:].replace('_', '-')}" for name in names if name.startswith("--") and "_" in name)
        return super().add_argument(*dict.fromkeys([*names, *dashed]), **words)

    def parse_args(self, args: Any = None, *rest: Any, **words: Any) -> Namespace:  # type: ignore[override]
        """Parses a verb's arguments.

        Raises:
            InputError: naming the first flag that has another name now.
        """
        for flag in (word.partition("=")[0] for word in args or ()):
            if flag in RENAMED:
                raise InputError(f"{flag}: expected {RENAMED[flag]}, which is its name now")
        parsed: Namespace = super().parse_args(args, *rest, **words)
        return parsed


def make_parser(verb: str, description: str) -> ArgumentParser:
    """A parser that shows defaults and takes the same values from a YAML file."""
    parser = VerbParser(prog=f"gazenas {verb}", description=description)
    parser.add_argument(
        "--config", action="config", help="YAML file with any of these values, such as a run's config.yaml"
    )
    parser.add_argument("--recorded", type=dict[str, str], default={}, help=SUPPRESS)  # what config.yaml adds
    return parser


def add_training_arguments(parser: ArgumentParser) -> None:
    """What every training verb takes besides its recipe."""
    parser.add_argument("--data", type=str, required=True, help="data folder in ETH-XGaze's layout")
    parser.add_argument("--out", type=str, required=True, help="run folder to write")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="of everything drawn but people")
    add_split_seed(parser)
    add_device_arguments(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --out; from the beginning where nothing was saved yet",
    )
    parser.add_argument("--overwrite", action="store_true", help="remove the run in --out and start again")
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="print the resolved recipe, sizes, memory and hours; train nothing",
    )


def add_teacher_arguments(parser: ArgumentParser) -> None:
    """What a training verb may learn from besides true gaze."""
    parser.add_argument(
        "--teacher",
        type=str,
        default="",
        help="run folder or shipped name of a trained network whose answers are learned as well; none without it",
    )
    parser.add_argument(
        "--distillation",
        type=str,
        default="bounded",
        metavar=f"{{{','.join(DISTILLATIONS)}}}",
        help="which of the teacher's answers count: plain, all; bounded, where it is nearer to the truth than the "
        "student; weighted, the less the further it is from the truth; trimmed, all but the tenth of a batch on which "
        "it is worst",
    )
    parser.add_argument(
        "--distill_weight",
        type=NonNegativeFloat,
        default=0.5,
        help="share of the teacher's term in the loss, 0 to 1",
    )


def teacher_of(arguments: Namespace, job: Job) -> Teacher | None:
    """The teacher that was asked for, if one was."""
    return load_teacher(
        arguments.teacher, job, distillation=arguments.distillation, weight=float(arguments.distill_weight)
    )


def add_split_seed(parser: ArgumentParser, *aliases: str) -> None:
    """Who validates where the data does not say, apart from ``--seed``, so that training again moves nobody."""
    parser.add_argument(
        "--split_seed",
        *aliases,
        type=NonNegativeInt,
        default=0,
        help="of people that are drawn where the data does not say who validates or is tested",
    )


def add_device_arguments(parser: ArgumentParser) -> None:
    """Where a training runs, and how often it is saved."""
    parser.add_argument(
        "--device", type=str, default="auto", help="cpu, cuda, cuda:N, or auto: a GPU where there is one"
    )
    parser.add_argument(
        "--deterministic",
        action=BooleanOptionalAction,
        default=True,
        help="a GPU gives the same bytes each time; without it, it is faster",
    )
    parser.add_argument(
        "--threads", type=NonNegativeInt, default=0, help="CPU threads, 0 for one a usable core that --workers leave"
    )
    parser.add_argument(
        "--workers", type=NonNegativeInt, default=0, help="processes that read images; 0 reads in this one"
    )
    parser.add_argument(
        "--save_minutes",
        type=NonNegativeFloat,
        default=5.0,
        help="between two checkpoints within an epoch; there is one after every epoch anyway",
    )


def add_reading_arguments(parser: ArgumentParser, *split_seed_aliases: str) -> None:
    """How a data folder is to be read where its files leave it open."""
    add_split_seed(parser, *split_seed_aliases)
    parser.add_argument(
        "--format", type=str, default="auto", help=f"layout of the folder: auto or one of {', '.join(DATASETS)}"
    )
    parser.add_argument("--order", type=str, default="auto", help=f"of stored gaze angles: {', '.join(ORDERS)}")
    parser.add_argument(
        "--flip", type=str, default="", help="angles stored with the opposite sign: pitch, yaw or pitch,yaw"
    )
    parser.add_argument(
        "--unit", type=str, default="auto", help="of a table's angles where its header does not say: degrees, radians"
    )
    parser.add_argument(
        "--frame", type=str, default="auto", help=f"normalized frame of the labels: {', '.join(FRAMES)}"
    )
    parser.add_argument(
        "--colors", type=str, default="auto", help="of stored arrays: RGB or BGR; auto is the published order"
    )
    parser.add_argument(
        "--undetected", action="store_true", help="Gaze360's own layout: heads without a detected face as well"
    )


def reading_of(arguments: Namespace, size: int = 0, task: Task = GAZE) -> Reading:
    """The reading options out of parsed arguments, for whom a task's labels must be there."""
    names = ("order", "flip", "unit", "frame", "colors", "undetected")
    own = Reading(split_seed=arguments.split_seed, size=size, needs=task.keys)
    return replace(own, **{name: arguments[name] for name in names})


def flag_of(recipe_field: Field[Any]) -> str:
    """The name of a recipe's field on the command line and in ``config.yaml``."""
    name: str = recipe_field.metadata.get("flag", recipe_field.name)
    return name


def add_recipe(parser: ArgumentParser, recipe: type[TrainingRecipe], leave_out: Collection[str] = ()) -> None:
    """One argument for each field of a recipe, whose help is the field's text in the docstring of its class.

    Args:
        parser: gets the arguments.
        recipe: the class, whose defaults are the arguments'.
        leave_out: fields that the verb decides itself.
    """
    types = get_type_hints(recipe)
    texts = {
        each.arg_name: " ".join((each.description or "").split()).removesuffix(".")
        for base in reversed(recipe.__mro__)
        for each in docstring_parser.google.parse(base.__doc__ or "").params
    }
    for each in fields(recipe):
        if each.name not in leave_out:
            default: Any = each.default
            words: dict[str, Any] = {"type": types[each.name], "default": default, "help": texts[each.name]}
            if isinstance(default, tuple):
                words |= {"type": list[int], "default": list(default)}  # of which YAML knows more than of tuples
            if "one_of" in each.metadata:
                words["metavar"] = f"{{{','.join(each.metadata['one_of'])}}}"
            parser.add_argument(f"--{flag_of(each)}", **words)


def recipe_of(arguments: Namespace, recipe: type[R]) -> R:
    """The recipe out of parsed arguments; fields that are no arguments keep their defaults."""
    values: dict[str, Any] = {
        each.name: arguments[flag_of(each)] for each in fields(recipe) if flag_of(each) in arguments
    }
    for name, value in values.items():
        values[name] = tuple(value) if isinstance(value, list) else value
    return recipe(**values)


def parse_with_recipe(
    parser: ArgumentParser,
    argv: list[str],
    recipe: type[TrainingRecipe],
    recipes: Mapping[str, Mapping[str, Any]],
) -> Namespace:
    """Parses ``argv``; ``--recipe NAME`` first replaces defaults, which other arguments override.

    Args:
        parser: has the arguments of ``recipe``, and ``--recipe``.
        argv: the words.
        recipe: the class.
        recipes: by name, what differs from the recipe's defaults, by field.
    """
    printing = [word for word in argv if word.startswith(("--print_config", "--print-config"))]
    named = recipes[parser.parse_args([word for word in argv if word not in printing]).recipe]
    flags = {each.name: flag_of(each) for each in fields(recipe)}
    parser.set_defaults({flags[name]: value for name, value in named.items()})
    arguments: Namespace = parser.parse_args(argv)
    return arguments


def recorded_config(arguments: Namespace) -> dict[str, Any]:
    """The resolved arguments as plain values for ``config.yaml``."""
    values: dict[str, Any] = {
        key: value
        for key, value in arguments.as_dict().items()
        if key not in ("config", "resume", "overwrite", "dry_run")
    }
    values["threads"] = torch.get_num_threads()
    values["recorded"] = {"memory_format": "channels_last", "torch": str(torch.__version__)}
    plain: dict[str, Any] = json.loads(json.dumps(values))  # checked numbers are types of their own, which YAML lacks
    return plain


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_device(name: str, threads: int, workers: int = 0, *, deterministic: bool = True) -> str:
    """Resolves ``auto``, limits threads to this process's share of the usable cores, and makes a GPU deterministic or
    not.

    With several processes on a machine (``torchrun``), each gets the GPU of its local rank. Loader processes
    keep a core each.

    Raises:
        InputError: where the device is not there.
    """
    cores = max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    torch.set_num_threads(min(threads, cores) if threads > 0 else max(1, cores - workers))
    resolved = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    if resolved == "cuda":
        resolved = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        torch.empty(1, device=resolved)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device: {name!r} is not usable here: {str(error).splitlines()[0]}") from error
    if resolved.startswith("cuda"):
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(deterministic)
    else:
        keep_freed_memory()
    return resolved


@contextmanager
def counting_bar(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar; gives the function that moves it by a number."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as bar:
        task = bar.add_task(text, total=total)
        yield lambda count: bar.advance(task, count)


class RichProgress:
    """Progress bars of a training run on the terminal."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[values]}"),
        )
        self._bar = Progress(*columns, console=console, transient=True, refresh_per_second=2)
        self._task = self._bar.add_task("", values="", visible=False)

    def __enter__(self) -> RichProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def epoch(self, number: int, total: int, steps: int) -> None:
        """Begins the bar of an epoch."""
        self._bar.reset(self._task, total=steps, description=f"epoch {number + 1}/{total}", values="", visible=True)

    def step(self, values: Mapping[str, float]) -> None:
        """Moves the bar by a step and shows the losses."""
        self._bar.update(
            self._task, advance=1, values="  ".join(f"{name} {value:.4g}" for name, value in values.items())
        )

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._bar.console.print(text)


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Prints a table; numbers are right-aligned, and titles give way before cells do."""
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for index, column in enumerate(columns):
        longest = max((len(row[index]) for row in rows), default=0)
        table.add_column(column, justify="left" if index == 0 else "right", min_width=longest, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def degrees(value: float | None) -> str:
    """An angle for a table."""
    return "not measured" if value is None else f"{value:.2f}\u00b0"


def expect_gaze(network: GazeModel, verb: str) -> None:
    """Refuses networks of other tasks where a verb knows gaze alone.

    Raises:
        InputError: naming the task.
    """
    if network.task is not GAZE:
        raise InputError(f"{verb}: knows gaze alone, found a network of the task {network.task.name}")
