"""Fine-tuning: an ordinary network, no penalty; the epoch that validates best is kept, or the last."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from gazenas.data.loader import ORDERS
from gazenas.errors import InputError
from gazenas.layers.fake_quantize import WEIGHT_BITS, FakeQuantization
from gazenas.models.baselines.binned import weigh_regression
from gazenas.models.zoo import GazeModel
from gazenas.training.batch_statistics import predict_by_session
from gazenas.training.distillation import Teacher
from gazenas.training.job import Job
from gazenas.training.loop import eval_mode, expect_images_alone
from gazenas.training.recipe import TrainingRecipe, below_zero, refuse
from gazenas.training.trainer import Floats, Trainer

KEEPS = ("best", "last")
RANGE_BATCHES = 8  # of training images, over which ranges of maps begin
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
    "augment": "none",
    "amp": "none",
}
RECIPES: Mapping[str, Mapping[str, Any]] = {"short": {}, "paper": PAPER_RECIPE}  # what differs from the defaults


@dataclass(frozen=True)
class FinetuneRecipe(TrainingRecipe):
    """How a fine-tuning trains, besides what every training has.

    Attributes:
        keep: best, the epoch that validates best, or last, which needs nobody held out.
        batches: mixed, or session: each batch of one session (one person where those are unknown), as personal
            BatchNorm statistics and 'gazenas calibrate' want it; validation then goes by batches of a session too, each
            on its own statistics.
        patience: epochs without a better validation error after which training stops; 0 never stops.
        quantize: quantization-aware training: maps of 8 bits and weights of 8 (int8), 6 or 4, so that 'gazenas export
            --precision int8' needs no faces to calibrate on; none trains in float.
        regression_weight: of the squared error of the expected angle beside the cross-entropy, where angles are binned
            (hopenet, l2cs); HopeNet's alpha, 1 or 2 in its paper.
    """

    keep: str = field(default="best", metadata={"one_of": KEEPS})
    batches: str = field(default="mixed", metadata={"one_of": ORDERS})
    patience: int = 0
    quantize: str = field(default="none", metadata={"one_of": ("none", *WEIGHT_BITS)})
    regression_weight: float = 1.0

    def check(self) -> None:
        """Raises InputError where a value is out of range, all at once."""
        faults = [
            *self.faults(),
            *below_zero(self, "patience", "regression_weight"),
        ]
        if self.keep == "last" and (self.schedule == "plateau" or self.patience):
            faults.append("keep: expected best with schedule plateau or patience, which go by validation, found 'last'")
        if self.quantize != "none" and self.amp != "none":
            faults.append(f"quantize: expected amp none with {self.quantize}, found {self.amp!r}")
        refuse(faults)


class Finetuning(Trainer):
    """A fine-tuning in progress.

    Args:
        recipe: how to train.
        network: with the weights to begin with, of any task; trained in place.
        job: data, run folder, device.
        teacher: a network that this one also learns from, or none.

    Raises:
        InputError: where the recipe, the data or the teacher does not fit, before anything is trained.
    """

    recipe: FinetuneRecipe

    def __init__(self, recipe: FinetuneRecipe, network: GazeModel, job: Job, teacher: Teacher | None = None) -> None:
        recipe.check()
        job.folder.expect_size(network.input_size, "the architecture")
        if recipe.keep == "best" and "val" not in job.folder.splits:
            raise InputError("keep: expected last where nobody is held out to validate, found 'best'")
        if recipe.regression_weight != 1:
            weigh_regression(network, recipe.regression_weight)
        if recipe.quantize != "none":
            expect_images_alone(network, f"ranges for --quantize {recipe.quantize}")
        super().__init__(
            recipe,
            job,
            network.task,
            recipe.batches,
            channels=network.input_channels,
            inputs=network.inputs,
            teacher=teacher,
        )
        self.adopt(network)
        self.best: dict[str, Tensor] = {}
        self.first = 0  # the first epoch that may be kept
        self.quantization = self.find_ranges()
        self.best_ranges: dict[str, Any] = {}

    def find_ranges(self) -> FakeQuantization | None:
        """The arithmetic of quantization-aware training, ranges as over the first training images."""
        if self.recipe.quantize == "none":
            return None
        found = FakeQuantization(WEIGHT_BITS[self.recipe.quantize])
        batches = itertools.islice(replace(self.loader, augmentation="none").epoch(0), RANGE_BATCHES)
        with eval_mode(self.network):
            found.find(self.network, (batch.images for batch in batches))
        return found

    def step_arithmetic(self) -> AbstractContextManager[Any]:
        """Rounds, where training is quantization-aware, and ranges follow."""
        return nullcontext() if self.quantization is None else self.quantization.following()

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Rounds, where training is quantization-aware."""
        return nullcontext() if self.quantization is None else self.quantization

    def validation_answers(self) -> Floats:
        """As training sees images: where its batches are of one session each, validation's are as well."""
        if self.recipe.batches != "session":
            return super().validation_answers()
        with self.arithmetic():
            module, val = self.average.module, self.job.split("val")
            return predict_by_session(module, val, self.recipe.batch_size, inputs=self.inputs)

    def validate(self) -> float:
        """The validation error; keeps the weights where it is the best, or where the last are wanted."""
        error = super().validate()
        rows, key = self.clock.rows[self.first :], self.task.key("val_error")
        if self.recipe.keep == "last" or not rows or error < min(row[key] for row in rows):
            self.keep_present()
        return error

    def keep_present(self) -> None:
        """Keeps the weights as they are now."""
        self.best = {key: value.detach().clone() for key, value in self.average.module.state_dict().items()}
        if self.quantization is not None:
            self.best_ranges = self.quantization.state()

    def row(self, losses: Mapping[str, float], error: float) -> dict[str, Any]:
        """The loss of the task, the learning rate, the error."""
        return {
            **self.loss_entries(losses),
            "lr": self.learning_rate.scheduled,
            self.task.key("val_error"): error if error == error else "",
        }

    def story(self, losses: Mapping[str, float]) -> str:
        """The loss of the task, or the parts of a comparator's own."""
        if set(losses) == {self.task.name}:
            return self.loss_story(losses)
        return f"losses {', '.join(f'{name} {value:.4f}' for name, value in losses.items())}"

    def best_epoch(self) -> int:
        """The epoch (from 0) that is kept: with the lowest validation error, the first of equals, or the last; -1
        before any may be."""
        rows = self.clock.rows[self.first :]
        if self.recipe.keep == "last" or not rows:
            return len(self.clock.rows) - 1 if rows else -1
        errors = [row[self.task.key("val_error")] for row in rows]
        return self.first + errors.index(min(errors))

    def is_done(self) -> bool:
        """Whether ``patience`` epochs have passed without a better validation error."""
        return bool(
            self.recipe.patience
            and self.clock.rows[self.first :]
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
        best.eval()
        if self.quantization is not None:
            self.quantization.load_state(self.best_ranges)
            size = best.input_size
            self.quantization.settle(
                best, torch.zeros(1, getattr(best, "input_channels", 3), size, size, device=self.job.device)
            )
            self.job.run.write_quantization(self.recipe.quantize, self.quantization.table())
        return best

    def summary(self) -> dict[str, Any]:
        """The epoch that was kept, and how many there were."""
        return {"best_epoch": self.best_epoch() + 1, "epochs": self.clock.epoch}

    def state(self) -> dict[str, Any]:
        """The weights of the best epoch besides, and ranges where training is quantization-aware."""
        own = {"fingerprint": self.network.architecture().fingerprint(), "best": self.best}
        if self.quantization is not None:
            own |= {"quantization": self.quantization.state(), "best_ranges": self.best_ranges}
        return super().state() | own

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint's state.

        Raises:
            InputError: where it is of another architecture.
        """
        if state["fingerprint"] != self.network.architecture().fingerprint():
            raise InputError("--resume: the checkpoint is of another architecture; use another --out")
        super().load_state(state)
        self.best = state["best"]
        if self.quantization is not None:
            self.quantization.load_state(state["quantization"])
            self.best_ranges = state["best_ranges"]
