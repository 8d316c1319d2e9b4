"""The resource-aware L1 penalty (GazeNAS equation of section 3.4), with normalized unit costs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gazenas.costs import CostMetric
from gazenas.models.network import as_network
from gazenas.search.units import full_unit_costs, unit_groups


class Penalty:
    """``sum Delta_i |alpha_i|`` over all units, Delta divided by the mean unit cost of the full space.

    The costs are those of the moment: make a new one after each shrink.

    Args:
        supernet: with importance factors.
        cost: a key of ``gazenas.costs.COSTS``, or a function like those.
    """

    def __init__(self, supernet: nn.Module, cost: str | CostMetric = "macs") -> None:
        full = full_unit_costs(as_network(supernet), cost)
        mean = sum(count * each for count, each in full) / max(sum(count for count, _ in full), 1)
        groups = unit_groups(supernet)
        self.alphas: list[Tensor] = [group.alpha for group in groups]
        self.parts: list[Tensor] = [group.cost(cost).to(group.alpha) / mean for group in groups]
        self.costs = torch.cat(self.parts) if self.parts else None
        self.nothing = torch.zeros((), device=next(supernet.parameters()).device)

    def __call__(self) -> Tensor:
        """A scalar on the network's device; multiply by lambda and add to the loss."""
        if self.costs is None:
            return self.nothing
        return torch.dot(torch.cat(self.alphas).abs(), self.costs)

    @torch.no_grad()
    def gradients(self, weight: float) -> tuple[Tensor, ...]:
        """By unit group, the gradient of ``weight`` times the penalty at the present factors."""
        return tuple(weight * cost * alpha.sign() for alpha, cost in zip(self.alphas, self.parts, strict=True))


def penalty(supernet: nn.Module, cost: str | CostMetric = "macs") -> Tensor:
    """The penalty as a scalar, for one's own training loop; see :class:`Penalty`."""
    return Penalty(supernet, cost)()


@torch.no_grad()
def proximal_step(alphas: list[Tensor], costs: list[Tensor], weight: float, optimizer: torch.optim.Optimizer) -> None:
    """Moves every factor toward 0 by what Adam would have done with the penalty's gradient alone, never past 0.

    Plain L1 under Adam overshoots and hovers about 0. The threshold is ``lr * weight * Delta / (sqrt(v) + eps)``
    with Adam's own second moment ``v`` of the other losses' gradient: the proximal operator in Adam's metric
    (Yun, Lozano and Yang, "Adaptive Proximal Gradient Methods", NeurIPS 2021).

    Args:
        alphas: importance factors, updated in place.
        costs: normalized unit costs Delta, ``(n,)`` each.
        weight: lambda.
        optimizer: Adam or AdamW that has just stepped over ``alphas``; these have no weight decay.
    """
    if not alphas:
        return
    held = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    groups, states = [held[id(alpha)] for alpha in alphas], [optimizer.state[alpha] for alpha in alphas]
    # Steps stay on the device, as tensors: to look at one makes a GPU wait for all that it has been given.
    steps = torch.stack([torch.as_tensor(state["step"]) for state in states]).double()
    decays = torch.tensor([group["betas"][1] for group in groups], dtype=torch.float64).to(steps.device)
    corrections = (1 - decays**steps).to(alphas[0].device, alphas[0].dtype)
    deviations = torch._foreach_sqrt(torch._foreach_div([state["exp_avg_sq"] for state in states], list(corrections)))
    torch._foreach_add_(deviations, [group["eps"] for group in groups])
    thresholds = torch._foreach_mul(costs, [group["lr"] * weight for group in groups])
    torch._foreach_div_(thresholds, deviations)
    sizes = torch._foreach_sub(torch._foreach_abs(alphas), thresholds)
    torch._foreach_clamp_min_(sizes, 0.0)
    torch._foreach_copy_(alphas, torch._foreach_mul(torch._foreach_sign(alphas), sizes))
