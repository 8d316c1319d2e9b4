"""Who goes at the next shrink, under the budgets of a plan: decided once, by rank 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from gazenas.costs.budget import limits_met
from gazenas.costs.macs import MACS
from gazenas.costs.quantity import Resource
from gazenas.costs.widths import architecture_with
from gazenas.models.network import Network
from gazenas.models.parts import NetworkWidths, leaving_together
from gazenas.ops.channels import round_up
from gazenas.search.importance import IMPORTANCES
from gazenas.search.importance.sensitivity import Sensitivity
from gazenas.search.random_baseline import random_scores
from gazenas.search.schedule import Schedule
from gazenas.search.selection import cut, unit_costs
from gazenas.search.targets import Plan
from gazenas.search.units import GroupKey, unit_groups
from gazenas.training.processes import World

MEASUREMENTS = 10  # at most, until what is measured exactly fits
TOLERANCE = 0.015  # how far below its limit a measured amount may end before the fill is tried again
BISECTIONS = 20  # until the share that is left of every unit group is known
Survivors = Mapping[str, Tensor]  # by unit group, (n,) booleans


class Controller:
    """Decides what stays.

    Args:
        plan: resources and what may remain of them.
        schedule: when.
        importance: what ranks the units, a key of ``IMPORTANCES``.
        at_most: share of a unit group that may leave at once, where limits can be met so.
        world: whose rank 0 decides.
    """

    def __init__(self, plan: Plan, schedule: Schedule, importance: str, at_most: float, world: World) -> None:
        self.plan, self.schedule, self.importance, self.at_most, self.world = plan, schedule, importance, at_most, world
        self.floors: dict[GroupKey, int] = {}
        self.measured: dict[tuple[str, str], float] = {}  # by quantity and fingerprint, since an export takes seconds

    def choose(self, network: Network, sensitivity: Sensitivity, step: int) -> dict[str, Tensor] | None:
        """What stays after the shrink that is due after ``step`` steps, or None where none is."""
        limits = self.schedule.remaining(step)
        return None if limits is None else self._decide(network, sensitivity, limits, step, {})

    def drop_unused(
        self, network: Network, sensitivity: Sensitivity, step: int, dead: Survivors
    ) -> dict[str, Tensor] | None:
        """The same when the shrink is due: ``dead`` units all go, as long as their going stays above the budget.

        Where channels leave in multiples, those that would leave one incomplete stay.
        """
        limits = self.schedule.remaining(step)
        if limits is None:
            return None
        left = widths_after(network, {name: ~mask for name, mask in dead.items()})
        for group in unit_groups(network):
            together = leaving_together(group.key.operator, self.plan.channel_multiple)
            counts = left[group.key.owner][group.key.operator]
            counts[group.key.group] = round_up(counts[group.key.group], together, len(group))
        floors = [resource.total(network, left) for resource in self.plan.resources]
        waypoint = self.schedule.waypoint(step)
        bounds = [min(limit, max(floor, w)) for limit, floor, w in zip(limits, floors, waypoint, strict=True)]
        return self._decide(network, sensitivity, bounds, step, dead)

    def settle_freely(self, network: Network, dead: Survivors, least: float) -> dict[str, Tensor]:
        """Without a budget: ``dead`` units go once at least ``least`` MACs would go with them."""
        keep = {name: ~mask.cpu() for name, mask in dead.items()}
        resource = MACS.of(network)
        saved = resource.total(network, network.widths()) - resource.total(network, widths_after(network, keep))
        if saved < least:
            keep = {name: torch.ones_like(mask) for name, mask in keep.items()}
        kept: dict[str, Tensor] = self.world.take(keep)
        return kept

    def draw(self, network: Network, kind: str, seed: int) -> dict[str, Tensor]:
        """What stays of a fresh supernet under the last budget by chance; ``kind`` as in
        ``gazenas.search.random_baseline``."""
        costs = unit_costs(network, unit_groups(network), self.plan.resources)
        score = random_scores(network, kind, costs, seed)
        drawn: dict[str, Tensor] = self.world.take(self._cut(network, score, self.plan.waypoints[-1], True, 1.0))
        return drawn

    def narrow(self, network: Network, times: float) -> dict[str, Tensor] | None:
        """What stays of a fresh supernet, thinned alike everywhere, that takes at most ``times`` the first budget of
        everything. Where that would leave less of something than its budget before anything was chosen, thinning ends
        at ``times`` one budget instead.

        Returns:
            None where it takes no more already.
        """
        groups, resources, targets = unit_groups(network), self.plan.resources, self.plan.waypoints[0]

        def thinned(share: float) -> dict[str, Tensor]:
            keep = {}
            for group in groups:
                together = leaving_together(group.key.operator, self.plan.channel_multiple)
                count = max(group.least, min(len(group), together * max(1, round(share * len(group) / together))))
                keep[group.name] = torch.arange(len(group)) < count
            return keep

        def totals(share: float) -> list[float]:
            widths = widths_after(network, thinned(share))
            return [resource.total(network, widths) for resource in resources]

        def largest(small_enough: Callable[[list[float]], bool]) -> float:
            low, high = 0.0, 1.0
            for _ in range(BISECTIONS):
                middle = (low + high) / 2
                low, high = (middle, high) if small_enough(totals(middle)) else (low, middle)
            return low

        limits = [
            max(times * target, resource.floor(network)) for resource, target in zip(resources, targets, strict=True)
        ]
        full = totals(1.0)
        if limits_met(full, limits):
            return None
        share = largest(lambda amounts: limits_met(amounts, limits))
        tight = [index for index, limit in enumerate(limits) if full[index] > limit]
        amounts = totals(share)
        if any(amounts[index] < targets[index] for index in tight):
            share = largest(lambda amounts: any(amounts[index] <= limits[index] for index in tight))
        return thinned(share)

    def set_floors(self, network: Network, of_stream: float, of_block: float) -> None:
        """From now on every stream keeps a share of the width that it has now, and every other unit group one of its
        own."""
        for group in unit_groups(network):
            together = leaving_together(group.key.operator, self.plan.channel_multiple)
            share = of_stream if group.is_stream else of_block
            self.floors[group.key] = round_up(share * len(group), together, len(group))

    def _decide(
        self, network: Network, sensitivity: Sensitivity, limits: Sequence[float], step: int, dead: Survivors
    ) -> dict[str, Tensor]:
        """The units with the lowest scores for their cost go, ``dead`` ones first."""
        keep: dict[str, Tensor] = {}
        if self.world.main:
            costs = unit_costs(network, unit_groups(network), self.plan.resources)
            score = IMPORTANCES[self.importance](network, sensitivity.means(), costs)
            for name, mask in dead.items():
                score[name] = score[name].masked_fill(mask, 0.0)
            arrives = self.schedule.arrives(step) is not None
            alive = {name: ~mask.cpu() for name, mask in dead.items()}
            keep = (
                alive
                if arrives and self._fills(network, alive, limits)
                else self._cut(network, score, limits, arrives, self.at_most)
            )
        decided: dict[str, Tensor] = self.world.take(keep)
        return decided

    def _fills(self, network: Network, keep: Survivors, limits: Sequence[float]) -> bool:
        """Whether measuring what stays, such as its file, shows that it meets that limit and every other: nothing is
        left to cut."""
        index = self.plan.measured
        if not keep or index is None:
            return False
        widths = widths_after(network, keep)
        amounts = [self.amount(network, resource, widths) for resource in self.plan.resources]
        return limits_met(amounts, limits) and amounts[index] >= (1 - TOLERANCE) * limits[index]

    def _cut(
        self, network: Network, score: Survivors, limits: Sequence[float], arrives: bool, at_most: float
    ) -> dict[str, Tensor]:
        """What stays under ``limits``; where a size in bytes is arrived at, as large as exporting it shows to fit."""
        groups, resources, index = unit_groups(network), self.plan.resources, self.plan.measured
        if not arrives or index is None:
            return cut(network, groups, score, resources, limits, self.plan.channel_multiple, at_most, self.floors)
        target, least = limits[index], resources[index].floor(network)
        aim, limit = target * (1 - TOLERANCE / 2), target
        fits: tuple[float, float, dict[str, Tensor]] | None = None  # limit, measured, what stays
        exceeds: tuple[float, float] | None = None
        keep: dict[str, Tensor] = {}
        for _ in range(MEASUREMENTS):
            bounds = [*limits[:index], max(limit, least), *limits[index + 1 :]]
            keep = cut(network, groups, score, resources, bounds, self.plan.channel_multiple, at_most, self.floors)
            measured = self.amount(network, resources[index], widths_after(network, keep))
            if measured > target:
                exceeds = (limit, measured)
            elif fits is None or measured > fits[1]:
                fits = (limit, measured, keep)
            if fits is not None and fits[1] >= (1 - TOLERANCE) * target:
                return fits[2]
            if fits is not None and exceeds is not None:
                limit = fits[0] + (exceeds[0] - fits[0]) * (aim - fits[1]) / (exceeds[1] - fits[1])
            else:
                limit += aim - measured
        return keep if fits is None else fits[2]

    def amount(self, network: Network, resource: Resource, widths: NetworkWidths) -> float:
        """What ``network`` takes with ``widths``: measured, once, where the quantity can be, else by the sum over
        parts."""
        if resource.quantity.measure is None:
            return resource.total(network, widths)
        arch = architecture_with(network, widths)
        key = resource.name, arch.fingerprint()
        if key not in self.measured:
            self.measured[key] = resource.quantity.measure(arch)
        return self.measured[key]


def widths_after(network: Network, keep: Survivors) -> dict[str, dict[str, dict[str, int]]]:
    """Units by block, operator and group once those not in ``keep`` are gone."""
    widths = network.widths()
    for group in unit_groups(network):
        operators, left = widths[group.key.owner], {group.key.group: int(keep[group.name].sum())}
        operators[group.key.operator] = operators[group.key.operator] | left
    return widths
