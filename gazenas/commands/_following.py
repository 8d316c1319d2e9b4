"""Who follows a training besides the person: ``--tensorboard`` and ``--log-json``."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from jsonargparse import Namespace

from gazenas.commands._common import console
from gazenas.training.job import Follower
from gazenas.training.json_log import STDOUT, JsonLog, check_json_log
from gazenas.training.run_folder import RunFolder


def check_following(arguments: Namespace) -> None:
    """Checks that what was asked for can be had, before anything is read or written.

    Raises:
        InputError: where a file is in the way.
        ModuleNotFoundError: where a package is absent.
    """
    check_json_log(arguments.log_json, goes_on=arguments.resume or arguments.overwrite)
    if arguments.tensorboard:
        importlib.import_module("tensorboardX")


@contextmanager
def apart_from_events(arguments: Namespace) -> Iterator[None]:
    """Inside the block what people read goes to standard error, where events go to standard output."""
    before, console.stderr = console.stderr, console.stderr or arguments.log_json == STDOUT
    try:
        yield
    finally:
        console.stderr = before


@contextmanager
def followers(arguments: Namespace, run: RunFolder) -> Iterator[list[Follower]]:
    """Those that were asked for, of the process that writes."""
    found: list[Follower] = []
    with ExitStack() as stack:
        if arguments.log_json and run.main:
            log = JsonLog(arguments.log_json, run.path, run.verb, resumed=arguments.resume)
            found.append(stack.enter_context(log))
        if arguments.tensorboard and run.main:
            from gazenas.training.tensorboard import TensorBoardEvents

            found.append(stack.enter_context(TensorBoardEvents(run.path / "tensorboard")))
        yield found
