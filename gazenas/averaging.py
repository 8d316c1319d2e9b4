"""A running average of a network's weights, which is what gets evaluated and kept."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from gazenas.models.network import Network


class WeightAverage:
    """Exponential moving average with decay ``min(limit, (1 + t) / (10 + t))`` at step t.

    Importance factors are copied, not averaged: a live zero is a zero everywhere. BatchNorm statistics are
    averaged like weights; integer buffers are copied.

    Args:
        network: copied as the first average.
        limit: of the decay.
    """

    def __init__(self, network: nn.Module, *, limit: float) -> None:
        self.module = deepcopy(network).requires_grad_(False)
        self.limit = limit
        self.steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Moves the average toward the network's present weights."""
        decay = min(self.limit, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        copied = {id(alpha) for alpha in network.importances()} if isinstance(network, Network) else set()
        averaged, live = [], []
        for mine, theirs in zip(_tensors(self.module), _tensors(network), strict=True):
            if id(theirs) in copied or not theirs.is_floating_point():
                mine.copy_(theirs)
            else:
                averaged.append(mine)
                live.append(theirs.detach())
        torch._foreach_lerp_(averaged, live, 1 - decay)


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]
