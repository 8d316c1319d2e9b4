"""How a program that trains many networks tells what went wrong, and ends."""

from __future__ import annotations

import sys
from collections.abc import Callable

from gazenas.errors import InputError, StoppedError
from gazenas.evaluation.verb_processes import VerbError

Tell = Callable[[VerbError], None]


def exit_status(run: Callable[[Tell], object]) -> int:
    """Runs an experiment: 0, 1 where a training ended badly and the others went on, 2 where nothing could go on, 128
    and its number after a signal. What went wrong is said on the error stream, each as it happens.

    Args:
        run: the experiment, given what is to be called with each training that ended badly.
    """
    failed: list[VerbError] = []

    def tell(error: VerbError) -> None:
        failed.append(error)
        sys.stderr.write(f"{error}\n")

    try:
        run(tell)
    except (InputError, VerbError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except StoppedError as stopped:
        sys.stderr.write(f"{stopped}\n")
        return 128 + stopped.signal
    return 1 if failed else 0
