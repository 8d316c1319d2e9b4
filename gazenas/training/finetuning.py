"""Fine-tuning: an ordinary network, no penalty; the epoch that validates best is kept, or the last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gazenas.data.loader import ORDERS
from gazenas.errors import InputError
from gazenas.models.baselines.binned import weigh_regression
from gazenas.models.zoo import GazeModel
from gazenas.training.job import Job
from gazenas.training.recipe import TrainingRecipe, below_zero, refuse
from gazenas.training.trainer import Trainer

KEEPS = ("best", "last")
PAPER_RECIPE = {
    "epochs": 50,
    "batch_size": 369,
    "optimizer": "rmsprop",
    "lr": 5e-4,
    "schedule": "exp",
    "decay": 0.97,
    "decay_every": 5,
    "weight_decay": 1e-5,
    "average": 0.9999,
    "augment": "plain",
    "amp": "none",
}


@dataclass(frozen=True)
class FinetuneRecipe(TrainingRecipe):
    """How a fine-tuning trains, besides what every training has.

    Attributes:
        keep: best, the epoch that validates best, or last, which needs nobody held out.
        batches: mixed, or session: each batch of one session (one person where those are unknown), as personal
            BatchNorm statistics and 'gazenas calibrate' want it.
        patience: epochs without a better validation error after which training stops; 0 never stops.
        regression_weight: of the squared error of the expected angle beside the cross-entropy, where angles are binned
            (hopenet, l2cs); HopeNet's alpha, 1 or 2 in its paper.
    """

    keep: str = field(default="best", metadata={"one_of": KEEPS})
    batches: str = field(default="mixed", metadata={"one_of": ORDERS})
    patience: int = 0
    regression_weight: float = 1.0

    def check(self) -> None:
        """Raises InputError where a value is out of range, all at once."""
        faults = [
            *self.faults(),
            *below_zero(self, "patience", "regression_weight"),
        ]
        if self.keep == "last" and (self.schedule == "plateau" or self.patience):
            faults.append("keep: expected best with schedule plateau or patience, which go by validation, found 'last'")
        refuse(faults)


class Finetuning(Trainer):
    """A fine-tuning in progress.

    Args:
        recipe: how to train.
        network: with the weights to begin with, of any task; trained in place.
        job: data, run folder, device.

    Raises:
        InputError: where the recipe or the data does not fit, before anything is trained.
    """

    recipe: FinetuneRecipe

    def __init__(self, recipe: FinetuneRecipe, network: GazeModel, job: Job) -> None:
        recipe.check()
        job.folder.expect_size(network.input_size, "the architecture")
        if recipe.keep == "best" and "val" not in job.folder.splits:
            raise InputError("keep: expected last where nobody is held out to validate, found 'best'")
        if recipe.regression_weight != 1:
            weigh_regression(network, recipe.regression_weight)
        super().__init__(recipe, job, network.task, recipe.batches, channels=network.input_channels)
        self.adopt(network)
        self.best: dict[str, Tensor] = {}

    def validate(self) -> float:
        """The validation error; keeps the weights where it is the best, or where the last are wanted."""
        error = super().validate()
        rows = self.clock.rows
        if self.recipe.keep == "last" or not rows or error < min(row[self.task.key("val_error")] for row in rows):
            self.best = {key: value.detach().clone() for key, value in self.average.module.state_dict().items()}
        return error

    def row(self, losses: Mapping[str, float], error: float) -> dict[str, Any]:
        """The loss of the task, the learning rate, the error."""
        return {
            f"{self.task.name}_loss": losses[self.task.name],
            "lr": self.learning_rate.scheduled,
            self.task.key("val_error"): error if error == error else "",
        }

    def story(self, losses: Mapping[str, float]) -> str:
        """The loss of the task, or the parts of a comparator's own."""
        if set(losses) == {self.task.name}:
            return f"{self.task.name} loss {losses[self.task.name]:.4f} {self.task.unit}"
        return f"losses {', '.join(f'{name} {value:.4f}' for name, value in losses.items())}"

    def best_epoch(self) -> int:
        """The epoch (from 0) that is kept: with the lowest validation error, the first of equals, or the last."""
        if self.recipe.keep == "last":
            return len(self.clock.rows) - 1
        errors = [row[self.task.key("val_error")] for row in self.clock.rows]
        return errors.index(min(errors))

    def is_done(self) -> bool:
        """Whether ``patience`` epochs have passed without a better validation error."""
        return bool(
            self.recipe.patience
            and self.clock.rows
            and self.clock.epoch - 1 - self.best_epoch() >= self.recipe.patience
        )

    def finish(self) -> GazeModel:
        """The network with the weights that were kept, contiguous."""
        if self.clock.epoch < self.recipe.epochs:
            self.job.say(
                f"no better validation error for {self.recipe.patience} epochs: stopped after {self.clock.epoch}"
            )
        best: GazeModel = self.average.module  # type: ignore[assignment]
        best.load_state_dict(self.best)
        for parameter in best.parameters():
            parameter.requires_grad_(True)
            parameter.data = torch.empty_like(parameter.data, memory_format=torch.contiguous_format).copy_(
                parameter.data
            )
        return best.eval()

    def summary(self) -> dict[str, Any]:
        """The epoch that was kept, and how many there were."""
        return {"best_epoch": self.best_epoch() + 1, "epochs": self.clock.epoch}

    def state(self) -> dict[str, Any]:
        """The weights of the best epoch besides."""
        return super().state() | {"fingerprint": self.network.architecture().fingerprint(), "best": self.best}

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint's state.

        Raises:
            InputError: where it is of another architecture.
        """
        if state["fingerprint"] != self.network.architecture().fingerprint():
            raise InputError("--resume: the checkpoint is of another architecture; use another --out")
        super().load_state(state)
        self.best = state["best"]
