"""Fine-tuning: an ordinary network, no penalty; the epoch that validates best is kept, or the last."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from gazenas.data.loader import ORDERS
from gazenas.errors import InputError
from gazenas.models.zoo import GazeModel
from gazenas.training.averaging import WeightAverage
from gazenas.training.loop import Losses
from gazenas.training.recipe import TrainingRecipe, below_zero, refuse
from gazenas.training.trainer import Clock, Job

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
    """

    keep: str = field(default="best", metadata={"one_of": KEEPS})
    batches: str = field(default="mixed", metadata={"one_of": ORDERS})
    patience: int = 0

    def check(self) -> None:
        """Raises InputError where a value is out of range, all at once."""
        faults = [
            *self.faults(),
            *below_zero(self, "patience"),
        ]
        if self.keep == "last" and (self.schedule == "plateau" or self.patience):
            faults.append("keep: expected best with schedule plateau or patience, which go by validation, found 'last'")
        refuse(faults)


class Finetuning:
    """A fine-tuning in progress: everything that a checkpoint holds.

    Args:
        recipe: how to train.
        network: with the weights to begin with; trained in place.
        job: data, run folder, device.

    Raises:
        InputError: where the recipe or the data does not fit, before anything is trained.
    """

    def __init__(self, recipe: FinetuneRecipe, network: GazeModel, job: Job) -> None:
        self.clock = Clock()
        recipe.check()
        job.folder.expect_size(network.input_size, "the architecture")
        self.recipe, self.job = recipe, job
        torch.manual_seed(job.seed)
        if recipe.keep == "best" and "val" not in job.folder.splits:
            raise InputError("keep: expected last where nobody is held out to validate, found 'best'")
        self.loader = replace(
            job.loader("train", recipe.batch_size, train=True), order=recipe.batches, augmentation=recipe.augment
        )
        self.network = network.to(job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = recipe.make_optimizer(self.network)
        self.learning_rate = recipe.learning_rate(len(self.loader))
        self.average = WeightAverage(self.network, limit=recipe.average)
        self.move_average = self.average.follow(self.network)
        self.model = job.world.wrap(self.network)
        self.best: dict[str, Tensor] = {}

    def run(self) -> GazeModel:
        """Trains until the last epoch or until patience ends; gives the network that is kept, in eval mode."""
        while self.clock.epoch < self.recipe.epochs and not self.out_of_patience():
            self.train_epoch()
            self.job.end_epoch(self)
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
        self.job.run.write_network(best)
        return best

    def train_epoch(self) -> None:
        """What is left of an epoch, and validation."""
        recipe, clock, done, resumed = self.recipe, self.clock, self.clock.meter.steps, time.monotonic()
        clock.begin_epoch()
        self.job.progress.epoch(clock.epoch, recipe.epochs, len(self.loader))
        self.learning_rate.apply(self.optimizer)
        losses = self.job.train_epoch(self, self.model, {})
        trained = time.monotonic() - resumed
        error = self._validate()
        if recipe.keep == "last" or not clock.rows or error < min(row["val_error_deg"] for row in clock.rows):
            self.best = {key: value.detach().clone() for key, value in self.average.module.state_dict().items()}
        row = {
            "epoch": clock.epoch,
            "gaze_loss": losses["gaze"],
            "lr": self.learning_rate.scheduled,
            "val_error_deg": error if error == error else "",
            "seconds": round(time.monotonic() - clock.begun, 2),
            "images_per_second": round((len(self.loader) - done) * recipe.batch_size / trained, 1),
        }
        plain = set(losses) == {"gaze"}
        parts = (
            f"gaze loss {losses['gaze']:.4f} rad"
            if plain
            else f"losses {', '.join(f'{k} {v:.4f}' for k, v in losses.items())}"
        )
        said = f", validation error {error:.2f} degrees" if error == error else ""
        self.job.say(f"epoch {clock.epoch + 1}/{recipe.epochs}: {parts}{said}")
        self.learning_rate.after_epoch(self.optimizer, error)
        clock.end_epoch(row)

    def _validate(self) -> float:
        """Error of what is kept on the validation people; not a number where nobody is held out."""
        if "val" not in self.job.folder.splits:
            return float("nan")
        return self.job.validate(self.average.module)  # type: ignore[arg-type]

    def after_step(self) -> None:
        """Moves the average and the learning rate."""
        self.move_average()
        self.learning_rate.after_step(self.optimizer)

    def extra_losses(self) -> Losses:
        """None besides the gaze."""
        return {}

    def best_epoch(self) -> int:
        """The epoch (from 0) that is kept: with the lowest validation error, the first of equals, or the last."""
        if self.recipe.keep == "last":
            return len(self.clock.rows) - 1
        errors = [row["val_error_deg"] for row in self.clock.rows]
        return errors.index(min(errors))

    def out_of_patience(self) -> bool:
        """Whether ``patience`` epochs have passed without a better validation error."""
        return bool(
            self.recipe.patience
            and self.clock.rows
            and self.clock.epoch - 1 - self.best_epoch() >= self.recipe.patience
        )

    def state(self) -> dict[str, Any]:
        """Everything needed to go on to the same bytes."""
        return {
            "clock": self.clock.state(),
            "world": self.job.world.size,
            "fingerprint": self.network.architecture().fingerprint(),
            "network": self.network.state_dict(),
            "average": self.average.state(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "learning_rate": self.learning_rate.state(),
            "random": torch.get_rng_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint's state.

        Raises:
            InputError: where it is of another architecture.
        """
        if state["fingerprint"] != self.network.architecture().fingerprint():
            raise InputError("--resume: the checkpoint is of another architecture; use another --out")
        self.network.load_state_dict(state["network"])
        self.average.load_state(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.learning_rate.load_state(state["learning_rate"])
        self.clock, self.best = Clock.from_state(state["clock"]), state["best"]
        torch.set_rng_state(state["random"])
