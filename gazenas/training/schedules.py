"""Learning rates over time, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

RISE = 0.1  # share of one cycle over which the learning rate rises
WARM_UP_STEPS = 50  # over which it rises under the other schedules


@dataclass(frozen=True, kw_only=True)
class Decay:
    """The numbers of a schedule.

    Attributes:
        lr: the largest learning rate.
        steps: of the whole run.
        factor: by which the rate falls at once, where it does.
        every: epochs between two falls; for ``plateau``, epochs without a better validation error.
        milestones: epochs after which it falls, for ``steps``.
    """

    lr: float
    steps: int
    factor: float = 1.0
    every: int = 1
    milestones: Sequence[int] = ()


def one_cycle(optimizer: Optimizer, decay: Decay) -> LRScheduler:
    """Smith and Topin's (2018), as cosines; a rise has at least two steps, without which torch's divides by zero."""
    steps = max(decay.steps, 2)
    return OneCycleLR(optimizer, decay.lr, total_steps=steps, pct_start=max(RISE, 2 / steps), cycle_momentum=False)


def plateau(optimizer: Optimizer, decay: Decay) -> LRScheduler:
    """Falls after ``every`` epochs in a row of which none was better than the best so far."""
    return ReduceLROnPlateau(optimizer, factor=decay.factor, patience=decay.every - 1, threshold=0.0, eps=0.0)


SCHEDULES: dict[str, Callable[[Optimizer, Decay], LRScheduler]] = {
    "onecycle": one_cycle,
    "cosine": lambda optimizer, decay: CosineAnnealingLR(optimizer, decay.steps),
    "exp": lambda optimizer, decay: StepLR(optimizer, decay.every, decay.factor),
    "plateau": plateau,
    "steps": lambda optimizer, decay: MultiStepLR(optimizer, list(decay.milestones), decay.factor),
}
BY_STEP = ("onecycle", "cosine")  # the others move once an epoch


class LearningRate:
    """The weights' learning rate as training goes on.

    torch's scheduler moves the rate of an optimizer that holds a single number and trains nothing. So a shrink may
    replace the parameters of the real optimizer, and the importance factors' rate may stay as it is.

    Args:
        schedule: a key of ``SCHEDULES``.
        decay: its numbers.
    """

    def __init__(self, schedule: str, decay: Decay) -> None:
        self.schedule, self.last = schedule, decay.steps - 1
        self.steps = 0
        self._carrier = SGD([torch.zeros(1)], lr=decay.lr)
        self._scheduler = SCHEDULES[schedule](self._carrier, decay)
        self._carrier.step()  # without a gradient it does nothing; a scheduler warns where its optimizer never steps

    @property
    def scheduled(self) -> float:
        """What the schedule says for the next step, the first rise left out; at the end of the run, what it said for
        the last."""
        return float(self._carrier.param_groups[0]["lr"])

    def apply(self, optimizer: Optimizer) -> None:
        """Gives the parameter groups of ``optimizer`` that follow the schedule the rate of its next step, or the
        ``ratio`` of it that they keep."""
        rise = 1.0 if self.schedule == "onecycle" else min(1.0, (self.steps + 1) / WARM_UP_STEPS)
        for group in optimizer.param_groups:
            if group.get("scheduled", True):
                group["lr"] = self.scheduled * rise * group.get("ratio", 1.0)

    def after_step(self, optimizer: Optimizer) -> None:
        """To be called after each step of ``optimizer``, which it prepares for the next one."""
        if self.schedule in BY_STEP and self.steps < self.last:
            self._scheduler.step()
        self.steps += 1
        self.apply(optimizer)

    def after_epoch(self, optimizer: Optimizer, error: float) -> None:
        """To be called after each epoch with the validation error, by which ``plateau`` goes."""
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(error)
        elif self.schedule not in BY_STEP:
            self._scheduler.step()
        self.apply(optimizer)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"steps": self.steps, "scheduled": self.scheduled, "scheduler": self._scheduler.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where :meth:`state` was taken, with the same schedule."""
        self.steps = state["steps"]
        self._carrier.param_groups[0]["lr"] = state["scheduled"]
        self._scheduler.load_state_dict(state["scheduler"])
