"""Which units go: those with the lowest scores for what they cost, until every limit is met, then a fill below the
limits.

Units are taken one by one, or all of an operator at once where that is the better bargain: the last token of a block
takes the encoder and decoder along, most of a small network's parameters, so that no single token looks expensive while
all together are.
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

from gazenas.costs.budget import limits_met, show
from gazenas.costs.quantity import Resource
from gazenas.errors import InputError
from gazenas.models.network import Network
from gazenas.models.parts import leaving_together
from gazenas.ops.channels import round_up
from gazenas.search.units import GroupKey, UnitGroup, touched

TOLERANCE = 0.02  # how far below a limit what stays may be
Values = Mapping[str, Tensor]  # group name to (n,) importance scores, not negative
# Score for cost, serial, owner, version, what, how many.
Bargain = tuple[float, int, str, int, list[GroupKey], int | None]


def cut(
    network: Network,
    groups: Sequence[UnitGroup],
    values: Values,
    resources: Sequence[Resource],
    limits: Sequence[float],
    channel_multiple: int = 1,
    at_most: float = 1.0,
    floors: Mapping[GroupKey, int] | None = None,
) -> dict[str, Tensor]:
    """What to keep so that each resource is at or just under its limit.

    Args:
        network: a supernet, left as it is.
        groups: its unit groups.
        values: importance score of each unit.
        resources, limits: what to stay under.
        channel_multiple: the number of channels that leave together; fewer do where a limit would otherwise be missed
            by more than ``TOLERANCE``.
        at_most: share of a group that leaves, rounded up to a multiple; more do only where limits cannot be met
            otherwise.
        floors: how many units of a group stay, on the same condition.

    Returns:
        By group, ``(n,)`` booleans on the CPU: which units stay.

    Raises:
        InputError: where even removing every unit leaves too much.
    """
    least = [resource.floor(network) for resource in resources]
    for resource, limit, floor in zip(resources, limits, least, strict=True):
        if floor > limit:
            raise InputError(
                f"cannot leave at most {show(limit)} {resource.unit}: with every unit gone {show(floor, up=True)} "
                f"remain"
            )
    if not groups:
        return {}
    knapsack = _Knapsack(network, groups, values, resources, channel_multiple)
    for share, staying in ((at_most, floors or {}), (1.0, floors or {}), (1.0, {})):
        knapsack.stay(share, staying)
        if knapsack.empty_until(limits):
            break
    knapsack.fill(limits)
    ragged = all(resource.quantity.channel_multiple == 1 for resource in resources)
    while ragged and channel_multiple > 1 and knapsack.falls_short(limits):
        channel_multiple //= 2
        knapsack.leave_together(channel_multiple)
        knapsack.fill(limits)
    return knapsack.keep()


def unit_costs(network: Network, groups: Sequence[UnitGroup], resources: Sequence[Resource]) -> dict[str, float]:
    """By group, what one unit takes now, relative to the network's total; the sum over ``resources``."""
    knapsack = _Knapsack(network, groups, {group.name: torch.zeros(len(group)) for group in groups}, resources, 1)
    everything = [True] * len(resources)
    return {group.name: knapsack.saving([group.key], 1, everything) for group in groups}


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
        self.groups: dict[GroupKey, UnitGroup] = {}
        self.order: dict[GroupKey, NDArray[np.int64]] = {}
        self.sums: dict[GroupKey, NDArray[np.float64]] = {}  # score of the k best units
        self.touched: dict[str, list[str]] = {}  # parts by owner
        self.owned: dict[str, list[GroupKey]] = {}
        for group in groups:
            scores = values[group.name].detach().double().cpu().numpy()
            best_first = np.argsort(-scores, kind="stable")
            self.groups[group.key], self.order[group.key] = group, best_first
            self.sums[group.key] = np.concatenate([[0.0], np.cumsum(scores[best_first])])
            self.owned.setdefault(group.key.owner, []).append(group.key)
            self.touched[group.key.owner] = touched(self.parts, group.key)
        self.leave_together(channel_multiple)
        self.stay(1.0, {})
        self.neighbors = {
            owner: [other for other, theirs in self.touched.items() if set(theirs) & set(mine)]
            for owner, mine in self.touched.items()
        }
        self.amounts = {name: self._amounts(name) for name in self.parts}
        self.totals = [r.fixed + sum(a[i] for a in self.amounts.values()) for i, r in enumerate(resources)]
        self.scales = [max(total, 1e-30) for total in self.totals]

    def leave_together(self, channel_multiple: int) -> None:
        """From now on channels leave and come back in this multiple."""
        self.together = {key: leaving_together(key.operator, channel_multiple) for key in self.groups}

    def stay(self, at_most: float, floors: Mapping[GroupKey, int]) -> None:
        """From now on so many units of every group stay, and as many as leave its share ``at_most`` free to go."""
        self.floors = {}
        for key, group in self.groups.items():
            free = round_up(at_most * len(group), self.together[key], len(group))
            floor = max(group.least, floors.get(key, 0), len(group) - free)
            self.floors[key] = min(floor, self._count(key))

    def falls_short(self, limits: Sequence[float]) -> bool:
        """Whether every resource is further below its limit than it may be."""
        return all(total < (1 - TOLERANCE) * limit for total, limit in zip(self.totals, limits, strict=True))

    def _amounts(self, part: str) -> list[float]:
        return [r.amount(self.parts[part], self.widths) for r in self.resources]

    def _count(self, key: GroupKey) -> int:
        return self.widths[key.owner][key.operator][key.group]

    def _add(self, key: GroupKey, number: int) -> None:
        self.widths[key.owner][key.operator][key.group] += number

    def _take(self, keys: Sequence[GroupKey], count: int | None) -> None:
        """Takes ``count`` units of each key out, or all; puts back with a negative count."""
        for key in keys:
            self._add(key, -self._count(key) if count is None else -count)
        for name in self.touched[keys[0].owner]:
            before, after = self.amounts[name], self._amounts(name)
            self.amounts[name] = after
            self.totals = [t + a - b for t, a, b in zip(self.totals, after, before, strict=True)]

    def _down(self, key: GroupKey) -> int:
        """Units that leave next: down to the next multiple, or to the least."""
        count = self._count(key)
        return min((count - 1) % self.together[key] + 1, count - self.floors[key])

    def _up(self, key: GroupKey) -> int:
        """Units that come back next."""
        count = self._count(key)
        return round_up(count + 1, self.together[key], len(self.groups[key])) - count

    def _score(self, key: GroupKey, fewer: int) -> float:
        """The sum of scores of the ``fewer`` lowest of the units that are in."""
        count = self._count(key)
        return float(self.sums[key][count] - self.sums[key][count - fewer])

    def _candidates(self, owner: str, open_: Sequence[bool]) -> list[tuple[float, list[GroupKey], int | None]]:
        """Every single unit (or multiple of them), and every operator as a whole, that could leave: score for cost."""
        found: list[tuple[float, list[GroupKey], int | None]] = []
        operators: dict[str, list[GroupKey]] = {}
        for key in self.owned[owner]:
            if self._count(key) > self.floors[key]:
                operators.setdefault(key.operator, []).append(key)
        for keys in operators.values():
            options: list[tuple[list[GroupKey], int | None]] = [([key], self._down(key)) for key in keys]
            if not any(self.floors[key] for key in keys):
                options.append((keys, None))
            for chosen, count in options:
                score = sum(self._score(key, self._count(key) if count is None else count) for key in chosen)
                saved = self.saving(chosen, count, open_)
                if saved > 0:
                    found.append((score / saved, chosen, count))
        return found

    def saving(self, keys: list[GroupKey], count: int | None, open_: Sequence[bool]) -> float:
        """What taking units out saves of the resources that are still too high, each relative to its total."""
        held = {key: self._count(key) if count is None else count for key in keys}
        names = self.touched[keys[0].owner]
        before = [self.amounts[name] for name in names]
        for key, number in held.items():
            self._add(key, -number)
        after = [self._amounts(name) for name in names]
        for key, number in held.items():
            self._add(key, number)
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
                    for score, keys, count in self._candidates(owner, open_):
                        heapq.heappush(heap, (score, next(serial), owner, version[owner], keys, count))
                if not heap:
                    return False
                _, _, owner, at, keys, count = heapq.heappop(heap)
                stale = []
                if at == version[owner]:
                    self._take(keys, count)
                    stale = self.neighbors[owner]
                    for other in stale:
                        version[other] += 1
        return True

    def fill(self, limits: Sequence[float]) -> None:
        """Puts units back wherever every limit stays met, the best for its cost first."""
        everything = [True] * len(limits)
        tried: set[GroupKey] = set()
        while True:
            offers: list[tuple[float, int, GroupKey, int]] = []
            for key in self.groups:
                number = self._up(key)
                if key in tried or not number:
                    continue
                count = self._count(key)
                score = float(self.sums[key][count + number] - self.sums[key][count])
                offers.append((score / max(-self.saving([key], -number, everything), 1e-30), -len(offers), key, number))
            if not offers:
                return
            _, _, key, number = max(offers)
            self._take([key], -number)
            if not limits_met(self.totals, limits):
                self._take([key], number)
                tried.add(key)

    def keep(self) -> dict[str, Tensor]:
        """By group, which units are in: of each group the best."""
        masks = {}
        for key, group in self.groups.items():
            mask = torch.zeros(len(group), dtype=torch.bool)
            mask[torch.from_numpy(self.order[key][: self._count(key)].copy())] = True
            masks[group.name] = mask
        return masks
