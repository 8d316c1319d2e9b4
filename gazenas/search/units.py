"""All unit groups of a supernet: importance factors, the tensors they govern, and what each unit costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gazenas.models.network import Network
from gazenas.models.search_block import SearchBlock
from gazenas.ops import OPS
from gazenas.ops.units import TensorSlice
from gazenas.search.costs import COSTS, CostMetric
from gazenas.search.costs.site import Site


@dataclass(frozen=True)
class UnitGroup:
    """The units of one kernel, or of the tokens, of one block, as they stand when the group is made.

    Attributes:
        name: unique in the network, such as ``stage2.parallel.branch1.block1.mixconv.3``.
        kind: ``conv3x3``, ``conv5x5``, ... or ``token``.
        alpha: importance factors ``(n,)``, the network's own parameter.
        slices: the tensors that hold one slice a unit.
    """

    name: str
    kind: str
    alpha: nn.Parameter
    slices: tuple[TensorSlice, ...]
    site: Site
    operator: str
    group: str

    @property
    def block(self) -> SearchBlock:
        """The search block that the units are of."""
        return self.site.block

    def __len__(self) -> int:
        return self.alpha.numel()

    def cost(self, metric: str | CostMetric = "macs") -> Tensor:
        """What removing each unit alone would save now: ``(n,)``, integers but for milliseconds.

        Args:
            metric: a key of ``COSTS``, or a function like those.
        """
        value = cost_metric(metric)(self.site, self.operator, self.group, self.block.widths())
        return torch.full((len(self),), value)


def unit_groups(supernet: nn.Module) -> list[UnitGroup]:
    """The groups that still have units, in the order in which the blocks run.

    Raises:
        TypeError: where the network is not one of gazenas.
    """
    network = as_network(supernet)
    specs = {spec.name: spec for spec in network.space.blocks()}
    groups = []
    for name, block in network.blocks().items():
        site = Site(block, specs[name], network.input_size // specs[name].reduction)
        for key, operator in block.operators().items():
            for units in operator.units():
                label = f"{name}.{key}.{units.group}"
                groups.append(UnitGroup(label, units.kind, units.alpha, units.slices, site, key, units.group))
    return groups


def as_network(module: object) -> Network:
    """The gazenas network that ``module`` is or wraps (an average, DistributedDataParallel)."""
    inner = getattr(module, "module", module)
    if not isinstance(inner, Network):
        raise TypeError(
            f"expected a network of gazenas, or a wrapper with one as its module, found {type(module).__name__}"
        )
    return inner


def cost_metric(metric: str | CostMetric) -> CostMetric:
    """A cost metric by name, or itself."""
    return COSTS[metric] if isinstance(metric, str) else metric


def full_unit_costs(network: Network, metric: str | CostMetric) -> list[tuple[int, float]]:
    """For every unit group of the full space, how many units it has and what one of them costs."""
    costs = []
    for spec in network.space.blocks():
        site = Site(network.blocks()[spec.name], spec, network.input_size // spec.reduction)
        widths = {
            name: OPS[name].full_widths(spec.in_channels, **settings) for name, settings in spec.operators.items()
        }
        for operator, groups in widths.items():
            costs += [(count, cost_metric(metric)(site, operator, group, widths)) for group, count in groups.items()]
    return costs
