"""The proximal step: the penalty as a soft threshold after the optimizer's step, so that factors reach 0 and stay."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def proximal_step(alphas: list[Tensor], costs: list[Tensor], weight: float, optimizer: torch.optim.Optimizer) -> None:
    """Moves every factor toward 0 by what Adam would have done with the penalty's gradient alone, never past 0.

    Plain L1 under Adam overshoots and hovers about 0. The threshold is ``lr * weight * Delta / (sqrt(v) + eps)``
    with Adam's own second moment ``v`` of the other losses' gradient: the proximal operator in Adam's metric
    (Yun, Lozano and Yang, "Adaptive Proximal Gradient Methods", NeurIPS 2021).

    Args:
        alphas: importance factors, updated in place.
        costs: normalised unit costs Delta, ``(n,)`` each.
        weight: lambda.
        optimizer: Adam or AdamW that has just stepped over ``alphas``; these have no weight decay.
    """
    held = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    for alpha, cost in zip(alphas, costs, strict=True):
        state, group = optimizer.state[alpha], held[id(alpha)]
        corrected = state["exp_avg_sq"] / (1 - group["betas"][1] ** float(state["step"]))
        threshold = group["lr"] * weight * cost / (corrected.sqrt() + group["eps"])
        alpha.copy_(alpha.sign() * (alpha.abs() - threshold).clamp_min(0))
