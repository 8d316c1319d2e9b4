"""One step of training, and predictions: plain functions over a network and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gazenas.data.dataset import Faces, GazeSplit
from gazenas.data.loader import Batch, Loader, normalize, to_gray
from gazenas.errors import InputError
from gazenas.models.zoo import GazeModel
from gazenas.training.processes import ALONE, World

EVALUATION_BATCH = 128
Losses = dict[str, Tensor]
Arithmetic = Callable[[], AbstractContextManager[Any]]
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

    def story(self, epoch: int, step: int, images: Sequence[str], checkpoint: Path | None) -> str:
        """Where the numbers broke down, and what to do.

        Args:
            epoch, step: counted from 1.
            images: names of those of the batch.
            checkpoint: the last good one.
        """
        parts = ", ".join(f"{name} {value}" for name, value in self.parts.items())
        return (
            f"{self.what} is not finite in epoch {epoch}, step {step}; loss: {parts}; images of the batch: "
            f"{', '.join(images)}; nothing was changed by this step; last good checkpoint: {checkpoint or 'none yet'}; "
            "try a smaller --lr, or look at these images"
        )


def train_step(
    network: nn.Module,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    objective: Callable[[Any, Batch], Losses],
    *,
    extra_losses: Callable[[], Losses] = dict,
    world: World = ALONE,
    amp: str = "none",
    arithmetic: Arithmetic = nullcontext,
) -> dict[str, float]:
    """One step of the optimizer; gradients are left where they are.

    Args:
        network: in training mode. With several processes, what ``world.wrap`` gave.
        batch: on the network's device, this process's share of it.
        optimizer: over the network's parameters.
        objective: parts of the loss, by name, from the network's output and the batch.
        extra_losses: further parts of the loss, by name, which do not depend on the batch.
        world: the processes that train together.
        amp: a key of ``AMPS``, the arithmetic of the forward pass.
        arithmetic: a context besides for the forward pass, such as one that rounds.

    Returns:
        Each part of the loss, its mean over all processes.

    Raises:
        NonFiniteLossError: before the optimizer's step.
    """
    with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=AMPS[amp]), arithmetic():
        output = network(batch.images, **batch.more)
    # Every image counts alike although shares may differ by one: gradients are averaged over processes.
    losses = {name: part * batch.weight for name, part in objective(output, batch).items()} | extra_losses()
    total = torch.stack(list(losses.values())).sum()
    optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    means = world.sum(torch.stack([loss.detach() for loss in losses.values()])) / world.size
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norms = torch._foreach_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    # Together, since each look at a number makes a GPU wait.
    *parts, slope = torch.cat([means, torch.stack(norms).sum()[None]]).tolist()
    values = dict(zip(losses, parts, strict=True))
    if not np.isfinite(sum(parts)):
        raise NonFiniteLossError("the loss", values, batch.rows)
    if not np.isfinite(slope):
        raise NonFiniteLossError("a gradient", values, batch.rows)
    optimizer.step()
    return values


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards every module has its own mode again, frozen ones too."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@torch.inference_mode()
def predict(
    network: nn.Module, batches: Iterable[Batch], *, arithmetic: Arithmetic = nullcontext
) -> NDArray[np.float32]:
    """``(N, 2)`` pitch and yaw in radians, or another task's outputs, for all batches in order, in eval mode and
    ``arithmetic``; modes are restored."""

    def answers(batch: Batch) -> NDArray[np.float32]:
        with arithmetic():
            found: NDArray[np.float32] = network(batch.images, **batch.more).float().cpu().numpy()
        return found

    with eval_mode(network):
        parts = [answers(batch) for batch in batches]
    predictions: NDArray[np.float32] = np.concatenate(parts) if parts else np.zeros((0, 2), np.float32)
    return predictions


def expect_images_alone(network: object, what: str) -> None:
    """Raises InputError where a network takes more than images, naming ``what`` has nothing else to give."""
    inputs = getattr(network, "inputs", ())
    if inputs:
        raise InputError(
            f"the network takes {' and '.join(inputs)} besides images, which {what} do not bring: finetune, evaluate, "
            "compare, protocol, calibrate and export know such networks"
        )


def batch_of(network: nn.Module, faces: Faces) -> Batch:
    """Faces as a network takes them: floats on its device, gray where it reads one channel; without labels."""
    device = next(network.parameters()).device
    colored = normalize(torch.from_numpy(faces.images).to(device))
    images = to_gray(colored) if getattr(network, "input_channels", 3) == 1 else colored
    more = {name: torch.from_numpy(values).to(device) for name, values in faces.more.items()}
    return Batch(images, torch.zeros(0, 2), np.zeros(0, np.int64), more=more)


def predict_faces(network: nn.Module, faces: Faces, batch_size: int = EVALUATION_BATCH) -> NDArray[np.float32]:
    """``(N, 2)`` pitch and yaw in radians, or another task's outputs, for faces held in memory, in eval mode."""
    parts = (faces[begin : begin + batch_size] for begin in range(0, len(faces), batch_size))
    return predict(network, (batch_of(network, part) for part in parts))


def predict_split(
    network: GazeModel, split: GazeSplit, *, device: str = "cpu", workers: int = 0
) -> NDArray[np.float32]:
    """``(N, outputs)`` for a split in order, in eval mode, read as the batches need it.

    Args:
        network: on the device.
        split: of images of its size.
        device: where batches go.
        workers: processes that read.
    """
    batches = Loader(
        split,
        EVALUATION_BATCH,
        0,
        train=False,
        workers=workers,
        device=device,
        task=network.task,
        channels=network.input_channels,
        inputs=network.inputs,
    )
    return predict(network, batches.epoch(0))
