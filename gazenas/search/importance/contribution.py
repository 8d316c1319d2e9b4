"""How much of a block's output a unit makes up, by its factors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gazenas.models.network import Network
from gazenas.ops.operator import Operator
from gazenas.ops.stream import StreamNorm, channel_scale
from gazenas.ops.units import Units
from gazenas.search.units import unit_groups


@torch.no_grad()
def contribution_score(
    network: Network, sensitivity: Mapping[str, Tensor], costs: Mapping[str, float]
) -> dict[str, Tensor]:
    """Variance that a unit adds to its block's output, or a channel to its stream, from weights and BatchNorm
    statistics.

    The standard deviation is abs(alpha) x deviation of its activation x norm of its projection's column, each entry
    times abs(gamma) over the deviation of the closing BatchNorm: a common factor that this BatchNorm cancels has no
    effect.
    A stream's channel has the variance that all BatchNorms together write to it.
    """
    operators = {name: block.operators() for name, block in network.blocks().items()}
    found = {}
    for group in unit_groups(network):
        if group.is_stream:
            norms = [piece.module for piece in group.slices if isinstance(piece.module, StreamNorm)]
            found[group.name] = sum(
                (channel_scale(norm) ** 2 for norm in dict.fromkeys(norms)), torch.zeros_like(group.alpha)
            )
        else:
            operator = operators[group.key.owner][group.key.operator]
            found[group.name] = contributions(operator)[group.key.group] ** 2
    return found


@torch.no_grad()
def contributions(operator: Operator) -> dict[str, Tensor]:
    """By group, ``(n,)``: standard deviation that each unit adds to the operator's output, by its weights and
    statistics."""
    deviations, found = operator.deviations(), {}
    for units in operator.units():
        through = projected_deviation(units, operator.norm)
        found[units.group] = units.alpha.abs() * (deviations[units.group] * through)
    return found


def projected_deviation(units: Units, norm: nn.BatchNorm2d) -> Tensor:
    """``(n,)``: deviation at the output of ``norm`` for each unit, per unit of the deviation of what enters its
    projection.

    Neighboring pixels count as independent.
    """
    assert units.projection is not None, f"{units.kind}: units of an operator have a projection"
    assert norm.running_var is not None, "BatchNorm keeps running statistics"
    weight: Tensor = getattr(units.projection.module, units.projection.name)
    gain = channel_scale(norm) * torch.rsqrt(norm.running_var + norm.eps)
    through: Tensor = torch.linalg.vector_norm(weight * gain.view(-1, 1, 1, 1), dim=(0, 2, 3))
    return through.narrow(0, units.projection.start, units.alpha.numel())
