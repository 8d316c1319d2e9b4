"""Single weights set to zero. A dense file does not shrink by it, and no runtime here skips them; what shrinks is the
coded file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from gazenas.compression.coding import encode
from gazenas.errors import InputError

Masks = dict[str, Tensor]  # by parameter, which of its numbers stay


def prunable_weights(network: nn.Module) -> dict[str, Tensor]:
    """Weights of convolutions and linear layers by name; biases and norms are few, and shift everything."""
    return {
        f"{name}.weight": module.weight
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


def plain_scores(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Absolute values, one threshold for all layers."""
    return {name: weight.detach().abs() for name, weight in weights.items()}


def layer_scores(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rank within the layer, so that every layer loses the same share."""
    found = {}
    for name, weight in weights.items():
        order = weight.detach().abs().flatten().argsort(stable=True)
        ranks = torch.empty_like(order)
        ranks[order] = torch.arange(len(order), device=order.device)
        found[name] = ((ranks + 0.5) / len(order)).double().view_as(weight)
    return found


def lamp_scores(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A square over the sum of all squares of its layer that are not smaller, one threshold for all layers (LAMP, Lee
    et al., ICLR 2021)."""
    found = {}
    for name, weight in weights.items():
        squares = weight.detach().double().square().flatten()
        ordered, order = squares.sort(stable=True)
        left = ordered.flip(0).cumsum(0).flip(0).clamp_min(1e-300)
        score = torch.empty_like(squares)
        score[order] = ordered / left
        found[name] = score.view_as(weight)
    return found


SCOPES: dict[str, Callable[[Mapping[str, Tensor]], dict[str, Tensor]]] = {
    "global": plain_scores,
    "layer": layer_scores,
    "lamp": lamp_scores,
}


def weight_masks(network: nn.Module, *, scope: str, amount: float = 0.0, threshold: float = 0.0) -> Masks:
    """Which weights stay.

    Args:
        network: left as it is.
        scope: a key of ``SCOPES``.
        amount: share that goes, the lowest scores of all layers together.
        threshold: absolute values at or below it go besides.

    Raises:
        InputError: where the scope is unknown, or neither or both of the numbers are given.
    """
    if scope not in SCOPES:
        raise InputError(f"--scope: expected one of {', '.join(SCOPES)}, found {scope!r}")
    if (amount > 0) == (threshold > 0) or not 0 <= amount < 1 or threshold < 0:
        raise InputError(
            f"--amount: expected a share between 0 and 1, or a --threshold above 0, found {amount:g} and {threshold:g}"
        )
    weights = prunable_weights(network)
    if threshold:
        return {name: weight.detach().abs() > threshold for name, weight in weights.items()}
    scores = SCOPES[scope](weights)
    everything = torch.cat([score.flatten().double() for score in scores.values()])
    stays = torch.ones(len(everything), dtype=torch.bool, device=everything.device)
    stays[everything.argsort(stable=True)[: round(amount * len(everything))]] = False
    parts = torch.split(stays, [score.numel() for score in scores.values()])
    return {name: part.view_as(scores[name]) for name, part in zip(scores, parts, strict=True)}


@torch.no_grad()
def apply_masks(network: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Sets the weights that go to zero, in place."""
    weights = prunable_weights(network)
    for name, mask in masks.items():
        weights[name].mul_(mask)


def weight_record(network: nn.Module) -> dict[str, Any]:
    """Zeros among the weights, the bytes of the dense file, and of the same once coded."""
    weights = prunable_weights(network)
    count = sum(weight.numel() for weight in weights.values())
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    stored = save({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()})
    return {
        "zeros": zeros,
        "share_of_zeros": zeros / max(count, 1),
        "dense_bytes": len(stored),
        "coded_bytes": len(encode(stored)),
    }
