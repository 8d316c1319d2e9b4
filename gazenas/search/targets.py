"""What a search is asked to arrive at, from the command line's words to resources and waypoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gazenas.costs import COSTS, Quantity, budgets
from gazenas.costs.budget import check_target, parse_amount
from gazenas.costs.macs import MACS
from gazenas.costs.quantity import Resource
from gazenas.errors import InputError
from gazenas.models.network import Network
from gazenas.search.units import unit_groups
from gazenas.space.search_space import SearchSpace
from gazenas.training.processes import ALONE, World


@dataclass(frozen=True)
class Targets:
    """Budgets as given on the command line.

    Attributes:
        budgets: by the word of ``--target-WORD``, such as ``{"macs": "12M", "params": "40%"}``; empty texts count as
            not given.
        family: several MACs to arrive at in turn, such as ``("20M", "10M")``.
        tables: by the name of a quantity that goes by a table, the file to look it up in; without one the quantity's
            own.
        channel_multiple: the number of channels that leave together; 0 for the latency table's under ``ms``, else the
            space's.
    """

    budgets: Mapping[str, str] = field(default_factory=dict)
    family: tuple[str, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    channel_multiple: int = 0


@dataclass
class Plan:
    """Resources that a search stays under.

    Attributes:
        resources: in the order of the waypoints' amounts.
        full: the supernet's amount of each.
        waypoints: amounts to arrive at, the largest first.
        labels: of the waypoints, as given.
        channel_multiple: the number of channels that leave together.
    """

    resources: list[Resource]
    full: tuple[float, ...]
    waypoints: list[tuple[float, ...]]
    labels: list[str]
    channel_multiple: int = 1

    @property
    def targets(self) -> dict[str, float]:
        """The last waypoint, by resource."""
        return dict(zip([r.name for r in self.resources], self.waypoints[-1], strict=True)) if self.waypoints else {}

    @property
    def measured(self) -> int | None:
        """Which resource is measured in the end, or None."""
        return next((index for index, r in enumerate(self.resources) if r.quantity.measure is not None), None)


def quantity_of(name: str, tables: Mapping[str, str], space: SearchSpace, world: World = ALONE) -> Quantity:
    """A quantity as a search of ``space`` reckons with it.

    Args:
        name: a key of ``COSTS``.
        tables: as in :class:`Targets`.
        space: what is searched.
        world: the processes that reckon with the same numbers.

    Raises:
        InputError: where a table does not fit.
    """
    table = COSTS[name].table
    return COSTS[name] if table is None else table.load(tables.get(name, ""), space, world)


def make_plan(targets: Targets, network: Network, world: World = ALONE) -> Plan:
    """Checks every budget against the supernet and against what remains with every unit gone.

    Args:
        targets: what was asked for.
        network: the supernet.
        world: the processes that plan together, of which rank 0 measures what is to be measured.

    Raises:
        InputError: where a budget cannot be read or met, or two kinds of targets exclude each other.
    """
    if not unit_groups(network):
        raise InputError(f"search space {network.space.name!r}: expected operators or streams to search, found none")
    if targets.channel_multiple < 0:
        raise InputError(
            f"--channel-multiple: expected a positive number of channels, found {targets.channel_multiple}"
        )
    plan = _family(targets, network) if targets.family else _plan(targets, network, world)
    measured = max([network.space.channel_multiple, *(r.quantity.channel_multiple for r in plan.resources)])
    plan.channel_multiple = targets.channel_multiple or measured
    return plan


def _plan(targets: Targets, network: Network, world: World) -> Plan:
    plan = Plan([], (), [], [])
    point: list[float] = []
    for word, entry in budgets().items():
        text = targets.budgets.get(word, "")
        if not text:
            continue
        quantity = quantity_of(entry.name, targets.tables, network.space, world)
        resource = quantity.of(network)
        full = resource.total(network, network.widths())
        flag = f"--target-{word}"
        target = parse_amount(text, full, flag, quantity)
        check_target(network, resource, target, flag)
        plan.resources.append(resource)
        plan.full += (full,)
        point.append(target)
        plan.labels = [" ".join([*plan.labels, text])]
    measured = [f"--target-{resource.name}" for resource in plan.resources if resource.quantity.measure is not None]
    if len(measured) > 1:
        raise InputError(
            f"{' and '.join(measured)}: expected one budget that is met by measuring, found {len(measured)}"
        )
    if point:
        plan.waypoints = [tuple(point)]
    return plan


def _family(targets: Targets, network: Network) -> Plan:
    if any(targets.budgets.values()):
        raise InputError("--targets: expected no other --target-..., the family's budgets are MACs")
    resource = MACS.of(network)
    full = resource.total(network, network.widths())
    amounts = {text: parse_amount(text, full, "--targets", MACS) for text in targets.family}
    for amount in amounts.values():
        check_target(network, resource, amount, "--targets")
    if len(set(amounts.values())) != len(targets.family):
        raise InputError(f"--targets: expected each budget once, found {', '.join(targets.family)}")
    down = sorted(amounts, key=lambda text: -amounts[text])
    return Plan([resource], (full,), [(amounts[text],) for text in down], down)
