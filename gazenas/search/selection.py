"""Which units go: the ones worth least for what they cost, until every limit is met, then a fill below the limits.

Units are taken one by one, or all of an operator at once where that is the better bargain: the last token of a block takes the
encoder and decoder along, most of a small network's parameters, so that no single token looks expensive while all together are.
Channels leave in multiples, as many as a runtime computes together: 127 of them take longer than 128.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gazenas.costs.budget import Resource, empty_widths, limits_met, show
from gazenas.errors import InputError
from gazenas.models.network import Network
from gazenas.models.parts import leaving_together
from gazenas.ops.units import round_up
from gazenas.search.units import Place, UnitGroup, touched

TOLERANCE = 0.02  # how far below a limit what stays may be
Values = Mapping[str, Tensor]  # group name to (n,) importance scores, not negative
Bargain = tuple[float, int, str, int, list[Place], int | None]  # score for cost, serial, owner, version, what, how many


def cut(
    network: Network,
    groups: Sequence[UnitGroup],
    values: Values,
    resources: Sequence[Resource],
    limits: Sequence[float],
    channel_multiple: int = 1,
    at_most: float = 1.0,
    floors: Mapping[Place, int] | None = None,
) -> dict[str, Tensor]:
    """What to keep so that each resource is at or just under its limit.

    Args:
        network: a supernet, left as it is.
        groups: its unit groups.
        values: importance score of each unit.
        resources, limits: what to stay under.
        channel_multiple: the number of channels that leave together; fewer do where a limit would otherwise be missed by
            more than ``TOLERANCE``.
        at_most: share of a group that leaves, rounded up to a multiple; more do only where limits cannot be met otherwise.
        floors: how many units of a group stay, on the same condition.

    Returns:
        By group, ``(n,)`` booleans on the CPU: which units stay.

    Raises:
        InputError: where even removing every unit leaves too much.
    """
    least = [resource.total(network, empty_widths(network)) for resource in resources]
    for resource, limit, floor in zip(resources, limits, least, strict=True):
        if floor > limit:
            raise InputError(
                f"cannot leave at most {show(limit)} {resource.name}: with every unit gone {show(floor, up=True)} remain"
            )
    if not groups:
        return {}
    knapsack = _Knapsack(network, groups, values, resources, channel_multiple)
    for share, staying in ((at_most, floors or {}), (1.0, floors or {}), (1.0, {})):
        knapsack.stay(share, staying)
        if knapsack.empty_until(limits):
            break
    knapsack.fill(limits)
    ragged = all(resource.channel_multiple == 1 for resource in resources)
    while ragged and channel_multiple > 1 and knapsack.falls_short(limits):
        channel_multiple //= 2
        knapsack.leave_together(channel_multiple)
        knapsack.fill(limits)
    return knapsack.keep()


def unit_costs(network: Network, groups: Sequence[UnitGroup], resources: Sequence[Resource]) -> dict[str, float]:
    """By group, what one unit takes now, relative to the network's total; the sum over ``resources``."""
    knapsack = _Knapsack(network, groups, {group.name: torch.zeros(len(group)) for group in groups}, resources, 1)
    everything = [True] * len(resources)
    return {group.name: knapsack.saving([group.place], 1, everything) for group in groups}


class _Knapsack:
    """The units that are still in, and what the network takes with them.

    An owner is a block or a stream. What a unit saves depends on its owner and on those that share a part with it.
    """

    def __init__(
        self,
        network: Network,
        groups: Sequence[UnitGroup],
        values: Values,
        resources: Sequence[Resource],
        channel_multiple: int,
    ) -> None:
        self.resources, self.parts = resources, network.parts()
        self.widths = {
            owner: {operator: dict(counts) for operator, counts in operators.items()}
            for owner, operators in network.widths().items()
        }
        self.groups: dict[Place, UnitGroup] = {}
        self.order: dict[Place, NDArray[np.int64]] = {}
        self.sums: dict[Place, NDArray[np.float64]] = {}  # score of the k best units
        self.touched: dict[str, list[str]] = {}  # parts by owner
        self.owned: dict[str, list[Place]] = {}
        for group in groups:
            scores = values[group.name].detach().double().cpu().numpy()
            best_first = np.argsort(-scores, kind="stable")
            self.groups[group.place], self.order[group.place] = group, best_first
            self.sums[group.place] = np.concatenate([[0.0], np.cumsum(scores[best_first])])
            self.owned.setdefault(group.place[0], []).append(group.place)
            self.touched[group.place[0]] = touched(self.parts, group.place)
        self.leave_together(channel_multiple)
        self.stay(1.0, {})
        self.neighbours = {
            owner: [other for other, theirs in self.touched.items() if set(theirs) & set(mine)]
            for owner, mine in self.touched.items()
        }
        self.amounts = {name: self._amounts(name) for name in self.parts}
        self.totals = [r.fixed + sum(a[i] for a in self.amounts.values()) for i, r in enumerate(resources)]
        self.scales = [max(total, 1e-30) for total in self.totals]

    def leave_together(self, channel_multiple: int) -> None:
        """From now on channels leave and come back in this multiple."""
        self.together = {place: leaving_together(place[1], channel_multiple) for place in self.groups}

    def stay(self, at_most: float, floors: Mapping[Place, int]) -> None:
        """From now on so many units of every group stay, and as many as leave its share ``at_most`` free to go."""
        self.floors = {}
        for place, group in self.groups.items():
            free = round_up(at_most * len(group), self.together[place], len(group))
            floor = max(group.least, floors.get(place, 0), len(group) - free)
            self.floors[place] = min(floor, self._count(place))

    def falls_short(self, limits: Sequence[float]) -> bool:
        """Whether every resource is further below its limit than it may be."""
        return all(total < (1 - TOLERANCE) * limit for total, limit in zip(self.totals, limits, strict=True))

    def _amounts(self, part: str) -> list[float]:
        return [r.factor * r.of_part(self.parts[part], self.widths) for r in self.resources]

    def _count(self, place: Place) -> int:
        return self.widths[place[0]][place[1]][place[2]]

    def _add(self, place: Place, number: int) -> None:
        self.widths[place[0]][place[1]][place[2]] += number

    def _take(self, places: Sequence[Place], count: int | None) -> None:
        """Takes ``count`` units of each place out, or all; puts back with a negative count."""
        for place in places:
            self._add(place, -self._count(place) if count is None else -count)
        for name in self.touched[places[0][0]]:
            before, after = self.amounts[name], self._amounts(name)
            self.amounts[name] = after
            self.totals = [t + a - b for t, a, b in zip(self.totals, after, before, strict=True)]

    def _down(self, place: Place) -> int:
        """Units that leave next: down to the next multiple, or to the least."""
        count = self._count(place)
        return min((count - 1) % self.together[place] + 1, count - self.floors[place])

    def _up(self, place: Place) -> int:
        """Units that come back next."""
        count = self._count(place)
        return round_up(count + 1, self.together[place], len(self.groups[place])) - count

    def _score(self, place: Place, fewer: int) -> float:
        """What the ``fewer`` lowest of the units that are in are worth together."""
        count = self._count(place)
        return float(self.sums[place][count] - self.sums[place][count - fewer])

    def _candidates(self, owner: str, open_: Sequence[bool]) -> list[tuple[float, list[Place], int | None]]:
        """Every single unit (or multiple of them), and every operator as a whole, that could leave: score for cost."""
        found: list[tuple[float, list[Place], int | None]] = []
        operators: dict[str, list[Place]] = {}
        for place in self.owned[owner]:
            if self._count(place) > self.floors[place]:
                operators.setdefault(place[1], []).append(place)
        for places in operators.values():
            options: list[tuple[list[Place], int | None]] = [([place], self._down(place)) for place in places]
            if not any(self.floors[place] for place in places):
                options.append((places, None))
            for chosen, count in options:
                score = sum(self._score(place, self._count(place) if count is None else count) for place in chosen)
                saved = self.saving(chosen, count, open_)
                if saved > 0:
                    found.append((score / saved, chosen, count))
        return found

    def saving(self, places: list[Place], count: int | None, open_: Sequence[bool]) -> float:
        """What taking units out saves of the resources that are still too high, each relative to its total."""
        held = {place: self._count(place) if count is None else count for place in places}
        names = self.touched[places[0][0]]
        before = [self.amounts[name] for name in names]
        for place, number in held.items():
            self._add(place, -number)
        after = [self._amounts(name) for name in names]
        for place, number in held.items():
            self._add(place, number)
        return sum(
            (b - a) / scale
            for one, other in zip(before, after, strict=True)
            for b, a, scale, is_open in zip(one, other, self.scales, open_, strict=True)
            if is_open
        )

    def empty_until(self, limits: Sequence[float]) -> bool:
        """Takes units out until every limit is met; gives whether it is."""
        while not limits_met(self.totals, limits):
            open_ = [total > limit for total, limit in zip(self.totals, limits, strict=True)]
            version = dict.fromkeys(self.owned, 0)
            serial = itertools.count()
            heap: list[Bargain] = []
            stale: list[str] = list(self.owned)
            while open_ == [total > limit for total, limit in zip(self.totals, limits, strict=True)]:
                for owner in stale:
                    for score, places, count in self._candidates(owner, open_):
                        heapq.heappush(heap, (score, next(serial), owner, version[owner], places, count))
                if not heap:
                    return False
                _, _, owner, at, places, count = heapq.heappop(heap)
                stale = []
                if at == version[owner]:
                    self._take(places, count)
                    stale = self.neighbours[owner]
                    for other in stale:
                        version[other] += 1
        return True

    def fill(self, limits: Sequence[float]) -> None:
        """Puts units back wherever every limit stays met, the best for its cost first."""
        everything = [True] * len(limits)
        tried: set[Place] = set()
        while True:
            offers: list[tuple[float, int, Place, int]] = []
            for place in self.groups:
                number = self._up(place)
                if place in tried or not number:
                    continue
                count = self._count(place)
                score = float(self.sums[place][count + number] - self.sums[place][count])
                offers.append(
                    (score / max(-self.saving([place], -number, everything), 1e-30), -len(offers), place, number)
                )
            if not offers:
                return
            _, _, place, number = max(offers)
            self._take([place], -number)
            if not limits_met(self.totals, limits):
                self._take([place], number)
                tried.add(place)

    def keep(self) -> dict[str, Tensor]:
        """By group, which units are in: of each group the best."""
        masks = {}
        for place, group in self.groups.items():
            mask = torch.zeros(len(group), dtype=torch.bool)
            mask[torch.from_numpy(self.order[place][: self._count(place)].copy())] = True
            masks[group.name] = mask
        return masks
