"""The resource-aware L1 penalty (GazeNAS equation of section 3.4), with normalised unit costs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gazenas.search.costs import CostMetric
from gazenas.search.units import as_network, full_unit_costs, unit_groups


class Penalty:
    """``sum Delta_i |alpha_i|`` over all units, Delta divided by the mean unit cost of the full space.

    The costs are those of the moment: make a new one after each shrink.

    Args:
        supernet: with importance factors.
        cost: a key of ``gazenas.search.costs.COSTS``, or a function like those.
    """

    def __init__(self, supernet: nn.Module, cost: str | CostMetric = "macs") -> None:
        full = full_unit_costs(as_network(supernet), cost)
        mean = sum(count * each for count, each in full) / max(sum(count for count, _ in full), 1)
        groups = unit_groups(supernet)
        self.alphas: list[Tensor] = [group.alpha for group in groups]
        self.parts: list[Tensor] = [group.cost(cost).to(group.alpha) / mean for group in groups]
        self.costs = torch.cat(self.parts) if self.parts else None

    def __call__(self) -> Tensor:
        """A scalar; multiply by lambda and add to the loss."""
        if self.costs is None:
            return torch.zeros(())
        return torch.dot(torch.cat(self.alphas).abs(), self.costs)


def penalty(supernet: nn.Module, cost: str | CostMetric = "macs") -> Tensor:
    """The penalty as a scalar, for one's own training loop; see :class:`Penalty`."""
    return Penalty(supernet, cost)()
