"""How long a training takes: some of its steps are timed before it begins, and with ``--hours`` they decide its
passes."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from gazenas.errors import InputError
from gazenas.training.loop import predict
from gazenas.training.trainer import Trainer

WARM_UP, TIMED_STEPS, TIMED_BATCHES = 2, 20, 8
SLACK = 0.95  # of the hours, since the first steps are not the slowest
END_SECONDS = 20.0  # plots and the page


@dataclass(frozen=True)
class Pace:
    """How fast a training is.

    Attributes:
        step: seconds of a step, reading and changing images included.
        steps: of a pass.
        validation: seconds of measuring the validation people, which follows each pass.
        end: seconds of measuring validation and test people once more, and of drawing.
    """

    step: float
    steps: int
    validation: float
    end: float

    def seconds(self, epochs: int) -> float:
        """Of a whole run."""
        return epochs * (self.steps * self.step + self.validation) + self.end

    def until(self, share: float, later: Pace) -> Pace:
        """This pace for a share of the passes and another one after it, in the mean."""

        def mean(here: float, there: float) -> float:
            return share * here + (1 - share) * there

        return Pace(
            mean(self.step, later.step), self.steps, mean(self.validation, later.validation), max(self.end, later.end)
        )


def measure_pace(trainer: Trainer) -> Pace:
    """Trains some steps of the first pass, and predicts some images; the trainer is of no use afterwards."""
    trainer.learning_rate.apply(trainer.optimizer)
    trainer.begin_epoch()
    steps = len(trainer.loader)
    warm = min(WARM_UP, steps - 1)
    if warm:
        trainer.train_steps(warm)
    begun, before = time.perf_counter(), trainer.clock.steps
    trainer.train_steps(min(TIMED_STEPS, steps - warm))
    step = (time.perf_counter() - begun) / (trainer.clock.steps - before)
    splits = trainer.job.folder.splits
    some = trainer.batches("val" if "val" in splits else "train")
    begun = time.perf_counter()
    predicted = predict(trainer.network, itertools.islice(some.epoch(0), TIMED_BATCHES), arithmetic=trainer.arithmetic)
    image = (time.perf_counter() - begun) / len(predicted)
    validation = image * len(splits.get("val", ()))
    return Pace(step, steps, validation, validation + image * len(splits.get("test", ())) + END_SECONDS)


def passes_within(hours: float, begun: float, pace: Callable[[], Pace]) -> tuple[int, str]:
    """How many passes fit, and a sentence about it.

    Args:
        hours: from ``begun`` to the end.
        begun: by ``time.monotonic``.
        pace: measures.

    Raises:
        InputError: where not one fits.
    """
    found = pace()
    left = SLACK * 3600 * hours - (time.monotonic() - begun)
    one = found.seconds(1)
    epochs = int((left - found.end) / (one - found.end))
    if epochs < 1:
        raise InputError(
            f"--hours: expected at least {(one + time.monotonic() - begun) / SLACK / 3600:.3g} for one pass of "
            f"{found.steps:,} steps, of which one takes {found.step:.3g} s, found {hours:g}; --fraction takes a part "
            "of the images"
        )
    return epochs, (
        f"--hours {hours:g}: {epochs} passes of {found.steps:,} steps, since a step takes {found.step:.3g} s and "
        f"validation {found.validation:.3g} s; {found.seconds(epochs) / 3600:.3g} hours are expected"
    )


def peak_memory_words() -> str:
    """Of a GPU where one was used, else of this process, so far."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return f"{torch.cuda.max_memory_allocated() / 2**20:,.0f} MiB"
    try:
        import resource
    except ModuleNotFoundError:
        return "not known: this system does not tell"
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return f"{used / 2**20:,.0f} MiB"
