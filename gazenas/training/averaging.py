"""A running average of a network's weights, which is what gets evaluated and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from gazenas.models.network import Network


class WeightAverage:
    """Exponential moving average with decay ``min(limit, (1 + t) / (10 + t))`` at step t.

    Importance factors are copied, not averaged: a live zero is a zero everywhere. BatchNorm statistics are
    averaged like weights; integer buffers are copied.

    Args:
        network: copied as the first average.
        limit: of the decay; 0 for no average: then ``module`` is ``network`` itself, and nothing is to be done.
    """

    def __init__(self, network: nn.Module, *, limit: float) -> None:
        self.module = deepcopy(network).requires_grad_(False) if limit else network
        self.limit = limit
        self.steps = 0

    def update(self, network: nn.Module) -> None:
        """Moves the average toward the network's present weights."""
        self.follow(network)()

    def follow(self, network: nn.Module) -> Callable[[], None]:
        """What updates the average, for many steps: it looks for the tensors only now.

        Args:
            network: must keep its structure as long as the result is used.
        """
        if self.module is network:
            return lambda: None
        copies = {id(alpha) for alpha in network.importances()} if isinstance(network, Network) else set()
        copied: list[tuple[Tensor, Tensor]] = []
        averaged: list[tuple[Tensor, Tensor]] = []
        for mine, theirs in zip(_tensors(self.module), _tensors(network), strict=True):
            exact = id(theirs) in copies or not theirs.is_floating_point()
            (copied if exact else averaged).append((mine, theirs.detach()))
        means, values = [mine for mine, _ in averaged], [theirs for _, theirs in averaged]

        @torch.no_grad()
        def update() -> None:
            decay = min(self.limit, (1 + self.steps) / (10 + self.steps))
            self.steps += 1
            for mine, theirs in copied:
                mine.copy_(theirs)
            torch._foreach_lerp_(means, values, 1 - decay)

        return update

    def state(self) -> dict[str, Any]:
        """For a checkpoint: nothing where there is no average."""
        return {"steps": self.steps, "module": self.module.state_dict()} if self.limit else {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where :meth:`state` was taken."""
        if self.limit:
            self.steps = state["steps"]
            self.module.load_state_dict(state["module"])


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
