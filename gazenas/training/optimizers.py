"""Optimizers by name, and the parameter groups that they get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from gazenas.layers.depthwise import DepthwiseConv2d
from gazenas.training.muon import Muon

Groups = list[dict[str, Any]]


OPTIMIZERS: dict[str, Callable[[Groups, float], Optimizer]] = {
    "muon": Muon,
    "adamw": lambda groups, lr: AdamW(groups, lr=lr, fused=True),
    "adam": lambda groups, lr: Adam(groups, lr=lr, fused=True),
    "rmsprop": lambda groups, lr: RMSprop(groups, lr=lr),
    "sgd": lambda groups, lr: SGD(groups, lr=lr, momentum=0.9, nesterov=True),
}
APART, ADDED = 0.05, 1e-5  # weight decay of optimizers that keep it apart from the gradient, and of the others


def make_optimizer(
    name: str,
    network: nn.Module,
    *,
    lr: float,
    weight_decay: float | None = None,
    importances: Sequence[nn.Parameter] = (),
    importance_lr: float = 0.0,
    follows: bool = False,
) -> Optimizer:
    """An optimizer of ``OPTIMIZERS``: matrices, other weights, then importance factors with a rate of their own and
    no decay.

    Args:
        name: a key of ``OPTIMIZERS``.
        network: whose parameters are trained.
        lr: of the weights, the largest.
        weight_decay: of the weights; None for ``APART`` with muon and adamw, ``ADDED`` with others.
        importances: parameters of the network that are importance factors.
        importance_lr: their rate.
        follows: whether their rate keeps its ratio to the weights' as a schedule moves that.
    """
    if weight_decay is None:
        weight_decay = APART if name in ("muon", "adamw") else ADDED
    special = {id(alpha) for alpha in importances}
    inner = {id(weight) for weight in _inner_weights(network)}
    weights = [parameter for parameter in network.parameters() if id(parameter) not in special]
    matrices = [weight for weight in weights if id(weight) in inner]
    others = [weight for weight in weights if id(weight) not in inner]
    groups: Groups = [
        {"params": chosen, "weight_decay": weight_decay, "matrices": chosen is matrices, "scheduled": True}
        for chosen in (matrices, others)
    ]
    if importances:
        groups.append(
            {
                "params": list(importances),
                "weight_decay": 0.0,
                "lr": importance_lr,
                "matrices": False,
                "scheduled": follows,
                "ratio": importance_lr / lr,
            }
        )
    return OPTIMIZERS[name](groups, lr)


def _inner_weights(network: nn.Module) -> list[Tensor]:
    """Weights of dense convolutions but the first, which sees pixels.

    Linear layers are left out: of attention and its feed-forward they diverge at a step size that suits convolutions.
    It goes by what a layer is and not by its size, which a shrink changes: a run that goes on must find the same
    groups.
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    dense = [layer for layer in convolutions[1:] if layer.groups == 1 and not isinstance(layer, DepthwiseConv2d)]
    return [layer.weight for layer in dense]
