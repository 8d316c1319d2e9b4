"""How strongly the task's loss depends on each unit: running means of the squared product of a factor and its
gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gazenas.models.network import Network
from gazenas.search.units import unit_groups

DECAY = 0.99  # of the running mean, a hundred steps


class Sensitivity:
    """Running mean of ``(alpha * dL/dalpha)^2`` by unit, L the task's loss, unbiased from the first step on.

    The product does not change when a factor is moved between alpha and the weights around it, so it needs no
    common scale of importance factors.

    Args:
        network: a supernet.
    """

    def __init__(self, network: Network) -> None:
        groups = unit_groups(network)
        self.names = [group.name for group in groups]
        self.alphas: list[Tensor] = [group.alpha for group in groups]
        self.sums = [torch.zeros_like(alpha) for alpha in self.alphas]
        self.steps = 0

    @torch.no_grad()
    def update(self, penalty: Sequence[Tensor] = ()) -> None:
        """Takes in the gradients that the factors hold.

        Args:
            penalty: by unit group, what of them is a penalty's, which says nothing about the task; none where there is
                no penalty.
        """
        self.steps += 1
        if not self.alphas:
            return
        gradients = [alpha.grad if alpha.grad is not None else torch.zeros_like(alpha) for alpha in self.alphas]
        if penalty:
            gradients = list(torch._foreach_sub(gradients, list(penalty)))
        products = torch._foreach_mul(self.alphas, gradients)
        torch._foreach_mul_(self.sums, DECAY)
        torch._foreach_addcmul_(self.sums, products, products, 1 - DECAY)

    def means(self) -> dict[str, Tensor]:
        """By unit group, ``(n,)``."""
        weight = 1 - DECAY ** max(self.steps, 1)
        return {name: total / weight for name, total in zip(self.names, self.sums, strict=True)}

    def after_shrink(self, network: Network, keep: Mapping[str, Tensor]) -> Sensitivity:
        """What is known of the units that are left once those not in ``keep`` were removed from ``network``."""
        left = Sensitivity(network)
        known = dict(zip(self.names, self.sums, strict=True))
        left.sums = [known[name][keep[name].to(known[name].device)] for name in left.names]
        left.steps = self.steps
        return left

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"sums": self.sums, "steps": self.steps}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what :meth:`state` gave."""
        sums = state["sums"]
        self.sums = [total.to(alpha.device) for total, alpha in zip(sums, self.alphas, strict=True)]
        self.steps = state["steps"]
