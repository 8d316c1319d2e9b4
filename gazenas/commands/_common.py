"""What the verbs share: arguments, progress bars, and how faults reach the person."""

from __future__ import annotations

import json
import os
import re
import shutil
from argparse import BooleanOptionalAction
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

import torch
from jsonargparse import SUPPRESS, ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gazenas.commands._allocator import keep_freed_memory
from gazenas.data.readers import DATASETS
from gazenas.data.readers.reading import FRAMES, ORDERS, Reading
from gazenas.errors import InputError, did_you_mean
from gazenas.models.zoo import GazeModel
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task

# Flags that have another name now, and what to write instead.
RENAMED = {
    "--mirror": "--average mirror",
    "--colours": "--colors",
    "--labelled": "--labeled",
    "--pressure": "--regularizer",
    "--lanes": "--channel-multiple 4",
    "--fill-lanes": "--channel-multiple 8",
    "--fill_lanes": "--channel-multiple 8",
}

# Tables keep their columns where the output is a file, for which rich would assume 80 characters.
console = Console(soft_wrap=True, highlight=False, width=max(110, shutil.get_terminal_size((110, 24)).columns))


ASK_PARSER = "--ask-parser"  # in place of arguments: not to parse, but to hand over the parser


class ParserAskedError(Exception):
    """A verb came to parse its arguments, and was asked for its parser."""

    def __init__(self, parser: VerbParser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


class VerbParser(ArgumentParser):
    """A parser that takes dashes for underscores and answers old spellings with the new ones."""

    def add_argument(self, *names: str, **words: Any) -> Any:
        """Adds an argument; ``--two_words`` may also be written ``--two-words``."""
        dashed = (f"--{name[2:].replace('_', '-')}" for name in names if name.startswith("--") and "_" in name)
        return super().add_argument(*dict.fromkeys([*names, *dashed]), **words)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuses what cannot be parsed, and names the flag that may have been meant.

        Raises:
            InputError: always.
        """
        flags = {word for action in self._actions for word in action.option_strings if "_" not in word}
        given = re.findall(r"(?<!\S)--[^\s=]+", message) if message.startswith("unrecognized arguments") else []
        meant = "".join(did_you_mean(flag.replace("_", "-"), flags) for flag in given)
        said = " ".join(message.replace("typing.Literal", "one of ").split())
        raise InputError(f"{said}{meant}; '{self.prog} --help' lists what it takes") from ex

    def parse_args(self, args: Any = None, *rest: Any, **words: Any) -> Namespace:  # type: ignore[override]
        """Parses a verb's arguments.

        Raises:
            InputError: naming the first flag that has another name now.
            ParserAskedError: where ``ASK_PARSER`` is among them.
        """
        if ASK_PARSER in (args or ()):
            raise ParserAskedError(self)
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
