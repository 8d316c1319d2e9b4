"""Arriving at a budget: a schedule says what remains after each shrink, and the losers are pressed to zero before they go.

The losers of the next shrink are known from the start of the interval before it. In that interval an envelope
presses their importance factors linearly to zero while the others train on, so that the network has learned
to do without them before they are removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gazenas.architecture import InputError
from gazenas.models.network import Network
from gazenas.search.units import unit_groups

PRESSED_BY = 0.75  # share of an interval after which the losers' importances are zero


@dataclass(frozen=True)
class Schedule:
    """What may remain after each shrink: a geometric fall from the supernet to each waypoint in turn.

    Attributes:
        full: of each resource, the supernet's amount.
        waypoints: the amounts to arrive at, the largest first; the last is the end.
        shrinks: epochs (from 0) at whose ends the network shrinks; the last one arrives at the last waypoint.
    """

    full: tuple[float, ...]
    waypoints: tuple[tuple[float, ...], ...]
    shrinks: tuple[int, ...]

    def remaining(self, epoch: int) -> tuple[float, ...] | None:
        """What may remain of each resource after the shrink at the end of ``epoch``, or None where there is none."""
        if epoch not in self.shrinks or not self.waypoints:
            return None
        leg, share = self._place(epoch)
        begin = self.waypoints[leg - 1] if leg else self.full
        ends = self.waypoints[leg]
        return tuple(to if share == 1 else at * (to / at) ** share for at, to in zip(begin, ends, strict=True))

    def arrives(self, epoch: int) -> int | None:
        """Which waypoint (from 0) the shrink at the end of ``epoch`` reaches, or None."""
        if epoch not in self.shrinks or not self.waypoints:
            return None
        leg, share = self._place(epoch)
        return leg if share == 1 else None

    def waypoint(self, epoch: int) -> tuple[float, ...]:
        """The amounts that the leg of the shrink at the end of ``epoch`` leads to."""
        return self.waypoints[self._place(epoch)[0]]

    def _place(self, epoch: int) -> tuple[int, float]:
        """The leg of the way that a shrink belongs to, and how much of the leg it completes."""
        count, legs = len(self.shrinks), len(self.waypoints)
        index = self.shrinks.index(epoch)
        ends = [-(-(leg + 1) * count // legs) - 1 for leg in range(legs)]
        leg = next(number for number, end in enumerate(ends) if index <= end)
        first = ends[leg - 1] + 1 if leg else 0
        return leg, (index - first + 1) / (ends[leg] - first + 1)


def plan_schedule(full: Sequence[float], waypoints: Sequence[Sequence[float]], epochs: int, every: int) -> Schedule:
    """Shrinks every ``every`` epochs after the first fifth of the search, arriving at seven tenths of it.

    Raises:
        InputError: where there are fewer shrinks than waypoints.
    """
    last = max(0, round(0.7 * epochs) - 1)
    first = min(last, max(1, round(0.2 * epochs)) if epochs > 1 else 0)
    shrinks = tuple(sorted(range(last, first - 1, -every)))
    if len(shrinks) < len(waypoints):
        raise InputError(
            f"--targets: {len(waypoints)} budgets need as many shrinks, {epochs} epochs have {len(shrinks)}: "
            f"expected more --epochs, or a smaller --shrink-every than {every}"
        )
    return Schedule(tuple(full), tuple(tuple(point) for point in waypoints), shrinks)


class Losers:
    """The units that the next shrink will remove, and the envelope that presses them to zero.

    Args:
        network: a supernet.
        keep: by unit group, ``(n,)`` booleans: which units stay.
    """

    def __init__(self, network: Network, keep: Mapping[str, Tensor]) -> None:
        self.alphas: list[Tensor] = [group.alpha for group in unit_groups(network)]
        device = self.alphas[0].device if self.alphas else torch.device("cpu")
        self.keep = {name: mask.to(device) for name, mask in keep.items()}
        self.start = [alpha.detach().abs().clone() for alpha in self.alphas]

    @torch.no_grad()
    def press(self, progress: float) -> None:
        """Limits the losers' importances to what the envelope allows at ``progress`` (0 to 1) of the interval."""
        if not self.alphas:
            return
        share = max(0.0, 1 - progress / PRESSED_BY)
        limits = [
            torch.where(keep, torch.inf, start * share)
            for keep, start in zip(self.keep.values(), self.start, strict=True)
        ]
        torch._foreach_minimum_(self.alphas, limits)
        torch._foreach_maximum_(self.alphas, torch._foreach_neg(limits))

    def state(self) -> dict[str, list[Tensor]]:
        """What a checkpoint must hold to go on pressing the same units."""
        return {"keep": list(self.keep.values()), "start": self.start}

    @staticmethod
    def from_state(network: Network, state: Mapping[str, list[Tensor]]) -> Losers:
        """The losers whose :meth:`state` this is."""
        names = [group.name for group in unit_groups(network)]
        losers = Losers(network, dict(zip(names, state["keep"], strict=True)))
        losers.start = [start.to(alpha.device) for start, alpha in zip(state["start"], losers.alphas, strict=True)]
        return losers
