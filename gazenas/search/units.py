"""All unit groups of a supernet: importance factors, the tensors they govern, and what each unit costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gazenas.costs import COSTS, CostMetric
from gazenas.errors import InputError
from gazenas.models.build import full_architecture
from gazenas.models.network import Network, as_network
from gazenas.models.parts import NetworkWidths, Part
from gazenas.ops.units import TensorSlice, Units
from gazenas.space.search_space import STREAM


class GroupKey(NamedTuple):
    """Which units of a network a group holds; written out, such as ``stage2.parallel.branch1.block1.mixconv.3``.

    Attributes:
        owner: block or stream.
        operator: of the block, or ``stream``.
        group: among the operator's.
    """

    owner: str
    operator: str
    group: str

    @property
    def is_stream(self) -> bool:
        """Whether the units are shared by all blocks that write or read one stream."""
        return self.operator == STREAM

    def __str__(self) -> str:
        return ".".join(self)


@dataclass(frozen=True)
class UnitGroup:
    """The units of one kernel, of the tokens or of the hidden channels of one block, or the channels of one stream, as
    they stand when the group is made.

    Attributes:
        key: which units they are.
        kind: ``conv3x3``, ``conv5x5``, ..., ``hidden``, ``token`` or ``stream``.
        alpha: importance factors ``(n,)``, the network's own parameter.
        slices: the tensors that hold one slice a unit.
        least: units that always stay.
        parts: of the network, by name.
    """

    key: GroupKey
    kind: str
    alpha: nn.Parameter
    slices: tuple[TensorSlice, ...]
    least: int
    parts: Mapping[str, Part] = field(repr=False)
    network: Network = field(repr=False)

    @property
    def name(self) -> str:
        """The key, written out."""
        return str(self.key)

    @property
    def is_stream(self) -> bool:
        """Whether the units are shared by all blocks that write or read one stream."""
        return self.key.is_stream

    def __len__(self) -> int:
        return self.alpha.numel()

    def cost(self, metric: str | CostMetric = "macs") -> Tensor:
        """What removing each unit alone would save now: ``(n,)``, whole numbers where the quantity has only these.

        Args:
            metric: a key of ``COSTS``, or a function of a part and of the network's widths.
        """
        value = unit_cost(self.parts, self.network.widths(), self.key, metric)
        return torch.full((len(self),), value if value != int(value) else int(value))


def unit_groups(supernet: nn.Module) -> list[UnitGroup]:
    """The groups that still have units: the streams, then the blocks in the order in which they run.

    Raises:
        TypeError: where the network is not one of gazenas.
    """
    network = as_network(supernet)
    parts = network.parts()
    found: list[tuple[GroupKey, Units]] = [
        (GroupKey(stream, STREAM, units.group), units) for stream, units in network.stream_units().items()
    ]
    for name, block in network.blocks().items():
        for operator, path in block.operators().items():
            found += [(GroupKey(name, operator, units.group), units) for units in path.units()]
    return [
        UnitGroup(
            key,
            units.kind,
            units.alpha,
            units.slices,
            network.space.least_stream_width if key.is_stream else 0,
            parts,
            network,
        )
        for key, units in found
    ]


def cost_metric(metric: str | CostMetric) -> CostMetric:
    """What a part takes of a quantity, by the quantity's name, or the function itself.

    Raises:
        InputError: where no quantity has the name.
    """
    if not isinstance(metric, str):
        return metric
    if metric not in COSTS:
        raise InputError(f"cost: expected one of {', '.join(COSTS)}, found {metric!r}")
    return COSTS[metric].amount


def touched(parts: Mapping[str, Part], key: GroupKey) -> list[str]:
    """The parts whose amounts depend on the units of ``key``: its block, or all that read or write its stream."""
    if not key.is_stream:
        return [key.owner]
    return [name for name, part in parts.items() if key.owner in part.streams]


def without(widths: NetworkWidths, key: GroupKey, count: int = 1) -> NetworkWidths:
    """``widths`` with ``count`` units of ``key`` fewer."""
    groups = dict(widths[key.owner][key.operator])
    groups[key.group] -= count
    return dict(widths) | {key.owner: dict(widths[key.owner]) | {key.operator: groups}}


def total(parts: Mapping[str, Part], names: Iterable[str], widths: NetworkWidths, metric: str | CostMetric) -> float:
    """What the named parts take."""
    amount = cost_metric(metric)
    return sum(amount(parts[name], widths) for name in names)


def unit_cost(parts: Mapping[str, Part], widths: NetworkWidths, key: GroupKey, metric: str | CostMetric) -> float:
    """What one unit of ``key`` takes at ``widths``, all that falls away with a last unit included."""
    names = touched(parts, key)
    return total(parts, names, widths, metric) - total(parts, names, without(widths, key), metric)


def full_unit_costs(network: Network, metric: str | CostMetric) -> list[tuple[int, float]]:
    """For every unit group of the full space, how many units it has and what one of them costs."""
    parts, widths = network.parts(), full_architecture(network.space).kept
    return [
        (count, unit_cost(parts, widths, GroupKey(owner, operator, group), metric))
        for owner, operators in widths.items()
        for operator, groups in operators.items()
        for group, count in groups.items()
    ]
