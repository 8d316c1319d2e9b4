"""Arriving at a budget: a schedule says what remains after each shrink, and the losers are pressed to zero before they
go.

The losers of the next shrink are known from the start of the interval before it. In that interval an envelope
presses their importance factors linearly to zero while the others train on, so that the network has learned
to do without them before they are removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gazenas.errors import InputError
from gazenas.models.network import Network
from gazenas.search.units import unit_groups


@dataclass(frozen=True)
class Schedule:
    """What may remain after each shrink: a geometric fall from the supernet to each waypoint in turn.

    Attributes:
        full: of each resource, the supernet's amount.
        waypoints: the amounts to arrive at, the largest first; the last is the end.
        shrinks: steps of the optimizer after which the network shrinks; the last one arrives at the last waypoint.
        interval: steps between two of them, at most.
    """

    full: tuple[float, ...]
    waypoints: tuple[tuple[float, ...], ...]
    shrinks: tuple[int, ...]
    interval: int

    def remaining(self, step: int) -> tuple[float, ...] | None:
        """What may remain of each resource after the shrink after ``step`` steps, or None where there is none."""
        if step not in self.shrinks or not self.waypoints:
            return None
        leg, share = self._place(step)
        begin = self.waypoints[leg - 1] if leg else self.full
        ends = self.waypoints[leg]
        return tuple(to if share == 1 else at * (to / at) ** share for at, to in zip(begin, ends, strict=True))

    def arrives(self, step: int) -> int | None:
        """Which waypoint (from 0) the shrink after ``step`` steps reaches, or None."""
        if step not in self.shrinks or not self.waypoints:
            return None
        leg, share = self._place(step)
        return leg if share == 1 else None

    def waypoint(self, step: int) -> tuple[float, ...]:
        """The amounts that the leg of the shrink after ``step`` steps leads to."""
        return self.waypoints[self._place(step)[0]]

    def next_interval(self, done: int) -> tuple[int, int] | None:
        """First and last step of the interval that ends with the next shrink, after ``done`` shrinks; None after the
        last."""
        if done >= len(self.shrinks):
            return None
        end = self.shrinks[done]
        return (self.shrinks[done - 1] if done else max(0, end - self.interval)), end

    def _place(self, step: int) -> tuple[int, float]:
        """The leg of the way that a shrink belongs to, and how much of the leg it completes."""
        count, legs = len(self.shrinks), len(self.waypoints)
        index = self.shrinks.index(step)
        ends = [-(-(leg + 1) * count // legs) - 1 for leg in range(legs)]
        leg = next(number for number, end in enumerate(ends) if index <= end)
        first = ends[leg - 1] + 1 if leg else 0
        return leg, (index - first + 1) / (ends[leg] - first + 1)


def plan_schedule(
    full: Sequence[float],
    waypoints: Sequence[Sequence[float]],
    *,
    epochs: int,
    epoch_steps: int,
    every: float,
    begin: float,
    end: float,
) -> Schedule:
    """Shrinks every ``every`` epochs from after the share ``begin`` of the search on, the last at the share ``end`` of
    it.

    Args:
        full, waypoints: of the schedule.
        epochs: of the search.
        epoch_steps: steps of the optimizer an epoch.
        every: epochs between shrinks, parts of one too.
        begin, end: shares of the search.

    Raises:
        InputError: where there are fewer shrinks than waypoints.
    """
    last = max(1, round(end * epochs / every))
    first = min(last, 1 + round(begin * epochs / every))
    last, first = min(last, int(epochs / every) or 1), min(first, int(epochs / every) or 1)
    total = epochs * epoch_steps
    steps = (min(total, max(1, round(count * every * epoch_steps))) for count in range(first, last + 1))
    shrinks = tuple(dict.fromkeys(steps))
    if len(shrinks) < len(waypoints):
        raise InputError(
            f"--targets: {len(waypoints)} budgets need as many shrinks, {epochs} epochs have {len(shrinks)}: "
            f"expected more --epochs, or a smaller --shrink-every than {every:g}"
        )
    interval = max(1, round(every * epoch_steps))
    return Schedule(tuple(full), tuple(tuple(point) for point in waypoints), shrinks, interval)


class Losers:
    """The units that the next shrink will remove, and the envelope that presses them to zero.

    Args:
        network: a supernet.
        keep: by unit group, ``(n,)`` booleans: which units stay.
        pressed_by: share of the interval after which the losers' factors are zero.
    """

    def __init__(self, network: Network, keep: Mapping[str, Tensor], pressed_by: float) -> None:
        self.pressed_by = pressed_by
        self.alphas: list[Tensor] = [group.alpha for group in unit_groups(network)]
        device = self.alphas[0].device if self.alphas else torch.device("cpu")
        self.keep = {name: mask.to(device) for name, mask in keep.items()}
        self.start = [alpha.detach().abs().clone() for alpha in self.alphas]

    @torch.no_grad()
    def press(self, progress: float) -> None:
        """Limits the losers' importances to what the envelope allows at ``progress`` (0 to 1) of the interval."""
        if not self.alphas:
            return
        share = max(0.0, 1 - progress / self.pressed_by)
        limits = [
            torch.where(keep, torch.inf, start * share)
            for keep, start in zip(self.keep.values(), self.start, strict=True)
        ]
        torch._foreach_minimum_(self.alphas, limits)
        torch._foreach_maximum_(self.alphas, torch._foreach_neg(limits))

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold to go on pressing the same units."""
        return {"keep": list(self.keep.values()), "start": self.start, "pressed_by": self.pressed_by}

    @staticmethod
    def from_state(network: Network, state: Mapping[str, Any]) -> Losers:
        """The losers whose :meth:`state` this is."""
        names = [group.name for group in unit_groups(network)]
        losers = Losers(network, dict(zip(names, state["keep"], strict=True)), state["pressed_by"])
        losers.start = [start.to(alpha.device) for start, alpha in zip(state["start"], losers.alphas, strict=True)]
        return losers
