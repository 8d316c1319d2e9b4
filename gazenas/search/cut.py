"""Which units go: the ones worth least for what they cost, until every limit is met, then a fill below the limits.

Units are taken one by one, or all of an operator at once where that is the better bargain: the last token of a block takes the
encoder and decoder along, most of a small network's parameters, so that no single token looks expensive while all together are.
Where milliseconds are to be met, channels leave in lanes, as many as onnxruntime computes together: 127 of them take longer than 128.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gazenas.architecture import InputError
from gazenas.models.network import Network
from gazenas.ops.units import fill_lanes
from gazenas.search.budget import Resource, block_sides, empty_widths, lanes, limits_met, show, widths_of
from gazenas.search.units import UnitGroup

Values = Mapping[str, Tensor]  # group name to (n,) worth of each unit, not negative
Place = tuple[str, str, str]  # block, operator, group
Bargain = tuple[float, int, int, list[Place], int | None]  # worth for cost, serial, version, what, how many (None: all)


def cut(
    network: Network,
    groups: Sequence[UnitGroup],
    values: Values,
    resources: Sequence[Resource],
    limits: Sequence[float],
) -> dict[str, Tensor]:
    """What to keep so that each resource is at or just under its limit.

    Args:
        network: a supernet, left as it is.
        groups: its unit groups.
        values: how much each unit is worth.
        resources, limits: what to stay under.

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
    knapsack = _Knapsack(network, groups, values, resources)
    taken = knapsack.empty_until(limits)
    knapsack.fill(taken, limits)
    return knapsack.keep()


def unit_costs(network: Network, groups: Sequence[UnitGroup], resources: Sequence[Resource]) -> dict[str, float]:
    """By group, what one unit takes now, relative to the network's total; the sum over ``resources``."""
    knapsack = _Knapsack(network, groups, {group.name: torch.zeros(len(group)) for group in groups}, resources)
    everything = [True] * len(resources)
    return {group.name: knapsack.saving([place], 1, everything) for place, group in knapsack.places.items()}


class _Knapsack:
    """The units that are still in, and what the network takes with them."""

    def __init__(
        self, network: Network, groups: Sequence[UnitGroup], values: Values, resources: Sequence[Resource]
    ) -> None:
        self.network, self.groups, self.resources = network, groups, resources
        self.blocks, self.sides, self.widths = network.blocks(), block_sides(network), widths_of(network)
        self.places: dict[Place, UnitGroup] = {}
        self.lanes: dict[Place, int] = {}  # units that leave together
        self.order: dict[Place, NDArray[np.int64]] = {}
        self.sums: dict[Place, NDArray[np.float64]] = {}  # worth of the k best units
        for group in groups:
            place = (group.site.spec.name, group.operator, group.group)
            worth = values[group.name].detach().double().cpu().numpy()
            best_first = np.argsort(-worth, kind="stable")
            self.places[place], self.order[place] = group, best_first
            self.lanes[place] = lanes(group.operator, resources)
            self.sums[place] = np.concatenate([[0.0], np.cumsum(worth[best_first])])
        self.by_block: dict[str, list[Place]] = {name: [] for name in self.blocks}
        for place in self.places:
            self.by_block[place[0]].append(place)
        self.amounts = {name: self._amounts(name) for name in self.blocks}
        self.totals = [r.fixed + sum(a[i] for a in self.amounts.values()) for i, r in enumerate(resources)]
        self.scales = [max(total, 1e-30) for total in self.totals]

    def _amounts(self, block: str) -> list[float]:
        side = self.sides[block]
        return [r.of_block(block, self.blocks[block], self.widths[block], side) for r in self.resources]

    def _take(self, places: Sequence[Place], count: int | None) -> dict[Place, int]:
        """Takes ``count`` units of each place out, or all; puts back with a negative count."""
        block, taken = places[0][0], {}
        for place in places:
            groups = self.widths[block][place[1]]
            taken[place] = groups[place[2]] if count is None else count
            groups[place[2]] -= taken[place]
        before, after = self.amounts[block], self._amounts(block)
        self.amounts[block] = after
        self.totals = [t + a - b for t, a, b in zip(self.totals, after, before, strict=True)]
        return taken

    def _count(self, place: Place) -> int:
        return self.widths[place[0]][place[1]][place[2]]

    def _down(self, place: Place) -> int:
        """Units that leave next: down to the next multiple of the lanes."""
        return (self._count(place) - 1) % self.lanes[place] + 1

    def _up(self, place: Place) -> int:
        """Units that come back next."""
        count = self._count(place)
        return fill_lanes(count + 1, self.lanes[place], len(self.places[place])) - count

    def _candidates(self, block: str, open_: Sequence[bool]) -> list[tuple[float, list[Place], int | None]]:
        """Every single unit (or lanes of them), and every operator as a whole, that could leave ``block``: worth for cost."""
        found: list[tuple[float, list[Place], int | None]] = []
        operators: dict[str, list[Place]] = {}
        for place in self.by_block[block]:
            if self._count(place):
                operators.setdefault(place[1], []).append(place)
        for places in operators.values():
            options: list[tuple[list[Place], int | None]] = [([place], self._down(place)) for place in places]
            for chosen, count in [*options, (places, None)]:
                worth = sum(
                    float(self.sums[p][self._count(p)] - self.sums[p][0 if count is None else self._count(p) - count])
                    for p in chosen
                )
                saved = self.saving(chosen, count, open_)
                if saved > 0:
                    found.append((worth / saved, chosen, count))
        return found

    def saving(self, places: list[Place], count: int | None, open_: Sequence[bool]) -> float:
        """What taking units out saves of the resources that are still too high, each relative to its total."""
        block = places[0][0]
        held = {place: self._count(place) for place in places}
        for place in places:
            self.widths[block][place[1]][place[2]] -= held[place] if count is None else count
        after = self._amounts(block)
        for place, number in held.items():
            self.widths[block][place[1]][place[2]] = number
        parts = zip(self.amounts[block], after, self.scales, open_, strict=True)
        return sum((b - a) / scale for b, a, scale, is_open in parts if is_open)

    def empty_until(self, limits: Sequence[float]) -> list[Place]:
        """Takes units out until every limit is met; the places in the order in which units left, an entry for each to come back."""
        taken: list[Place] = []
        while not limits_met(self.totals, limits):
            open_ = [total > limit for total, limit in zip(self.totals, limits, strict=True)]
            version = dict.fromkeys(self.blocks, 0)
            serial = itertools.count()
            heap: list[Bargain] = []
            stale: list[str] = list(self.blocks)
            while open_ == [total > limit for total, limit in zip(self.totals, limits, strict=True)]:
                for block in stale:
                    for score, places, count in self._candidates(block, open_):
                        heapq.heappush(heap, (score, next(serial), version[block], places, count))
                _, _, at, places, count = heapq.heappop(heap)
                block = places[0][0]
                stale = [block] if at == version[block] else []
                if stale:
                    for place, number in self._take(places, count).items():
                        taken += [place] * math.ceil(number / self.lanes[place])
                    version[block] += 1
        return taken

    def fill(self, taken: list[Place], limits: Sequence[float]) -> None:
        """Puts units back, the last taken first, wherever every limit stays met."""
        for place in reversed(taken):
            number = self._up(place)
            self._take([place], -number)
            if not limits_met(self.totals, limits):
                self._take([place], number)

    def keep(self) -> dict[str, Tensor]:
        """By group, which units are in: of each group the best."""
        masks = {}
        for place, group in self.places.items():
            mask = torch.zeros(len(group), dtype=torch.bool)
            mask[torch.from_numpy(self.order[place][: self._count(place)].copy())] = True
            masks[group.name] = mask
        return masks
