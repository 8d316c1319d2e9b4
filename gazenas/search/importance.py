"""How much a unit is worth: what the ranking of a search goes by.

``IMPORTANCES`` maps the names used on the command line to functions of a network, of running means of
``(alpha * dL/dalpha)^2`` by unit group, and of unit costs by unit group. Each gives, by group, ``(n,)`` numbers that are not
negative; what leaves first is what is worth least for its cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from gazenas.models.network import Network
from gazenas.ops.stream import StreamNorm
from gazenas.search.units import unit_groups

Groups = Mapping[str, Tensor]


@torch.no_grad()
def alpha(network: Network, sensitivity: Groups, costs: Mapping[str, float]) -> dict[str, Tensor]:
    """The paper's: ``abs(alpha)`` times what the unit costs, so that the ranking is by ``abs(alpha)`` alone."""
    return {group.name: group.alpha.detach().abs() * costs[group.name] for group in unit_groups(network)}


@torch.no_grad()
def contribution(network: Network, sensitivity: Groups, costs: Mapping[str, float]) -> dict[str, Tensor]:
    """Variance that a unit adds to its block's output, or a channel to its stream, from weights and BatchNorm statistics.

    The standard deviation is abs(alpha) x deviation of its activation x norm of its projection's column, each entry
    times abs(gamma) over the deviation of the closing BatchNorm: a common factor that this BatchNorm cancels has no effect.
    A stream's channel has the variance that all BatchNorms together write to it.
    """
    blocks, found = network.blocks(), {}
    for group in unit_groups(network):
        name, operator, key = group.place
        if group.is_stream:
            norms = [piece.module for piece in group.slices if isinstance(piece.module, StreamNorm)]
            found[group.name] = sum(
                (norm.scale_and_shift()[0] ** 2 for norm in dict.fromkeys(norms)), torch.zeros_like(group.alpha)
            )
        else:
            found[group.name] = blocks[name].operators()[operator].contributions()[key] ** 2
    return found


def taylor(network: Network, sensitivity: Groups, costs: Mapping[str, float]) -> dict[str, Tensor]:
    """First-order estimate of the loss's change (Molchanov et al., CVPR 2019): root mean square of ``alpha * dL/dalpha``.

    Raises:
        KeyError: where a group's sensitivity was not accumulated.
    """
    return {group.name: sensitivity[group.name].sqrt() for group in unit_groups(network)}


IMPORTANCES: dict[str, Callable[[Network, Groups, Mapping[str, float]], dict[str, Tensor]]] = {
    "alpha": alpha,
    "contribution": contribution,
    "taylor": taylor,
}
