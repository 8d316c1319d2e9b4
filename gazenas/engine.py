"""Train one epoch, evaluate: plain functions over a network and batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gazenas.data.loader import Batch

Losses = dict[str, Tensor]


class NonFiniteLossError(ArithmeticError):
    """The loss or a gradient is not finite; the message holds the loss's parts and the batch's rows."""


def gaze_loss(prediction: Tensor, gaze: Tensor) -> Tensor:
    """Mean absolute difference of pitch and yaw in radians: the paper's L1 loss. Both ``(N, 2)``."""
    return (prediction - gaze).abs().mean()


def train_epoch(
    network: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    *,
    extra_losses: Callable[[], Losses] = dict,
    after_step: Callable[[], None] = lambda: None,
    on_step: Callable[[dict[str, float]], None] = lambda values: None,
) -> dict[str, float]:
    """One pass over ``batches``.

    Args:
        network: in any mode; left in training mode.
        batches: images and gaze on the network's device.
        optimizer: over the network's parameters.
        extra_losses: further parts of the loss, by name, added to ``gaze``.
        after_step: called after each step of the optimizer.
        on_step: called with each batch's losses.

    Returns:
        The mean of each part of the loss.

    Raises:
        NonFiniteLossError: before anything is changed by such a step.
    """
    network.train()
    sums: dict[str, float] = defaultdict(float)
    steps = 0
    for batch in batches:
        losses = {"gaze": gaze_loss(network(batch.images), batch.gaze)} | extra_losses()
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        if not np.isfinite(sum(values.values())):
            raise NonFiniteLossError(f"the loss is not finite: {values}; rows of the batch: {batch.rows.tolist()}")
        optimizer.step()
        after_step()
        on_step(values)
        steps += 1
        for name, value in values.items():
            sums[name] += value
    return {name: value / max(steps, 1) for name, value in sums.items()}


@torch.inference_mode()
def predict(network: nn.Module, batches: Iterable[Batch]) -> NDArray[np.float32]:
    """``(N, 2)`` pitch and yaw in radians for all batches in order, in eval mode; the mode is restored."""
    training = network.training
    network.eval()
    parts = [network(batch.images).float().cpu().numpy() for batch in batches]
    network.train(training)
    predictions: NDArray[np.float32] = np.concatenate(parts)
    return predictions


def optimizer_groups(
    network: nn.Module, importances: list[nn.Parameter], weight_decay: float, importance_lr: float
) -> list[dict[str, Any]]:
    """Parameter groups: weights with decay, then importance factors with their own step size and none."""
    special = {id(alpha) for alpha in importances}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in network.parameters() if id(p) not in special], "weight_decay": weight_decay}
    ]
    if importances:
        groups.append({"params": importances, "weight_decay": 0.0, "lr": importance_lr})
    return groups
