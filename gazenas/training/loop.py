"""Train one epoch, evaluate: plain functions over a network and batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gazenas.data.loader import Batch, normalize
from gazenas.tasks.gaze import gaze_loss
from gazenas.training.processes import ALONE, World

Losses = dict[str, Tensor]
AMPS = {
    "none": False,
    "bf16": True,
}  # by name: whether the forward pass runs in bfloat16 autocast; weights stay float32


class NonFiniteLossError(ArithmeticError):
    """The loss or a gradient is not finite.

    Attributes:
        parts: of the loss, by name.
        rows: of the split, that made up this process's share of the batch.
    """

    def __init__(self, what: str, parts: dict[str, float], rows: NDArray[np.int64]) -> None:
        super().__init__(f"{what} is not finite: {parts}; rows of the batch: {rows.tolist()}")
        self.what, self.parts, self.rows = what, parts, rows


@dataclass
class Meter:
    """Steps done in an epoch and the sums of their losses by part."""

    steps: int = 0
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, values: dict[str, float]) -> None:
        """Counts one step."""
        self.steps += 1
        for name, value in values.items():
            self.sums[name] += value

    def means(self) -> dict[str, float]:
        """The mean of each part."""
        return {name: value / max(self.steps, 1) for name, value in self.sums.items()}


def gaze_losses(output: Tensor, batch: Batch) -> Losses:
    """The L1 loss alone."""
    return {"gaze": gaze_loss(output.float(), batch.gaze)}


def train_epoch(
    network: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    *,
    objective: Callable[[Any, Batch], Losses] = gaze_losses,
    extra_losses: Callable[[], Losses] = dict,
    after_step: Callable[[], None] = lambda: None,
    on_step: Callable[[dict[str, float]], None] = lambda values: None,
    meter: Meter | None = None,
    world: World = ALONE,
    amp: str = "none",
) -> dict[str, float]:
    """One pass over ``batches``.

    Args:
        network: in any mode; left in training mode. With several processes, what ``world.wrap`` gave.
        batches: images and gaze on the network's device, this process's share of each.
        optimizer: over the network's parameters.
        objective: parts of the loss, by name, from the network's output and the batch.
        extra_losses: further parts of the loss, by name, added to them.
        after_step: called after each step of the optimizer, with gradients still there.
        on_step: called with each batch's losses once they are in the meter.
        meter: of an epoch that is gone on with.
        world: the processes that train together.
        amp: a key of ``AMPS``, the arithmetic of the forward pass.

    Returns:
        The mean of each part of the loss over the whole epoch.

    Raises:
        NonFiniteLossError: before the optimizer's step.
    """
    network.train()
    meter = Meter() if meter is None else meter
    device = next(network.parameters()).device.type
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for batch in batches:
        with torch.autocast(device, torch.bfloat16, enabled=AMPS[amp]):
            output = network(batch.images)
        # Every image counts alike although shares may differ by one: gradients are averaged over processes.
        losses = {name: part * batch.weight for name, part in objective(output, batch).items()} | extra_losses()
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        means = world.sum(torch.stack([loss.detach() for loss in losses.values()])) / world.size
        values = dict(zip(losses, means.tolist(), strict=True))
        if not np.isfinite(sum(values.values())):
            raise NonFiniteLossError("the loss", values, batch.rows)
        norms = torch._foreach_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        if not bool(torch.stack(norms).sum().isfinite()):
            raise NonFiniteLossError("a gradient", values, batch.rows)
        optimizer.step()
        after_step()
        meter.add(values)
        on_step(values)
    return meter.means()


@torch.inference_mode()
def predict(network: nn.Module, batches: Iterable[Batch]) -> NDArray[np.float32]:
    """``(N, 2)`` pitch and yaw in radians for all batches in order, in eval mode; the mode is restored."""
    training = network.training
    network.eval()
    parts = [network(batch.images).float().cpu().numpy() for batch in batches]
    network.train(training)
    predictions: NDArray[np.float32] = np.concatenate(parts) if parts else np.zeros((0, 2), np.float32)
    return predictions


def predict_faces(network: nn.Module, faces: NDArray[np.uint8], batch_size: int = 128) -> NDArray[np.float32]:
    """``(N, 2)`` pitch and yaw in radians for ``(N, S, S, 3)`` RGB faces held in memory, in eval mode."""
    device = next(network.parameters()).device
    gaze, rows = torch.zeros(0, 2), np.zeros(0, np.int64)
    parts = (faces[begin : begin + batch_size] for begin in range(0, len(faces), batch_size))
    return predict(network, (Batch(normalize(torch.from_numpy(part).to(device)), gaze, rows) for part in parts))
