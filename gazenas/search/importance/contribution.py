"""How much of a block's output a unit makes up, by its factors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gazenas.models.network import Network
from gazenas.ops.stream import StreamNorm, channel_scale
from gazenas.search.units import unit_groups


@torch.no_grad()
def contribution_score(
    network: Network, sensitivity: Mapping[str, Tensor], costs: Mapping[str, float]
) -> dict[str, Tensor]:
    """Variance that a unit adds to its block's output, or a channel to its stream, from weights and BatchNorm statistics.

    The standard deviation is abs(alpha) x deviation of its activation x norm of its projection's column, each entry
    times abs(gamma) over the deviation of the closing BatchNorm: a common factor that this BatchNorm cancels has no effect.
    A stream's channel has the variance that all BatchNorms together write to it.
    """
    blocks, found = network.blocks(), {}
    for group in unit_groups(network):
        name, operator, key = group.key
        if group.is_stream:
            norms = [piece.module for piece in group.slices if isinstance(piece.module, StreamNorm)]
            found[group.name] = sum(
                (channel_scale(norm) ** 2 for norm in dict.fromkeys(norms)), torch.zeros_like(group.alpha)
            )
        else:
            found[group.name] = blocks[name].operators()[operator].contributions()[key] ** 2
    return found
