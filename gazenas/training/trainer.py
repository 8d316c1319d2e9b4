"""The trainer that a search and a fine-tuning are made with: epochs, validation, checkpoints, signals, the end."""

from __future__ import annotations

import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gazenas.data.loader import Batch, Loader
from gazenas.errors import InputError, StoppedError
from gazenas.layers.linear import StandardizedLinear
from gazenas.models.baselines import Baseline
from gazenas.models.zoo import GazeModel
from gazenas.tasks.task import Task
from gazenas.training.averaging import WeightAverage
from gazenas.training.checkpoint import random_state, set_random_state
from gazenas.training.clock import Clock, Straggler
from gazenas.training.distillation import Teacher
from gazenas.training.job import Job
from gazenas.training.loop import EVALUATION_BATCH, Losses, NonFiniteLossError, predict, train_step
from gazenas.training.recipe import TrainingRecipe

Floats = NDArray[np.float32]


class Trainer(ABC):
    """Trains a network from its first epoch, or from a checkpoint, to what is left behind.

    A kind of training hands its network to :meth:`adopt` and overrides what it does otherwise: :meth:`begin_epoch`,
    :meth:`restructure` and :meth:`next_change` around the steps, :meth:`extra_losses`, :meth:`step_arithmetic` and
    :meth:`after_step` in them, :meth:`arithmetic` of predictions,
    :meth:`validate`, :meth:`row` and :meth:`story` after them, :meth:`is_done` and :meth:`finish` at the end, and what
    it saves besides.

    Args:
        recipe: how to train.
        job: data, run folder, device, processes.
        task: what the network predicts.
        order: of training images, as ``gazenas.data.loader.Loader`` has it.
        teacher: a network that this one also learns from, or none.
        channels: of the images that the network reads.
        inputs: what it takes besides, names of ``gazenas.tasks.inputs.INPUTS``.

    Attributes:
        network: what is trained.
        average: of its weights, which is validated and kept.
        val_loss: the task's loss on the validation people, after each epoch; not a number where nobody is held out, or
            where a comparator's own loss is trained on, which is another quantity.
        shown: numbers for the progress bar besides the losses.
    """

    recipe: TrainingRecipe
    network: GazeModel
    average: WeightAverage
    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        recipe: TrainingRecipe,
        job: Job,
        task: Task,
        order: str = "mixed",
        *,
        channels: int = 3,
        inputs: tuple[str, ...] = (),
        teacher: Teacher | None = None,
    ) -> None:
        job.folder.expect_labels(task, ("train", "val"))
        job.folder.expect_inputs(inputs, ("train", "val", "test"))
        self.recipe, self.job, self.task = recipe, job, task
        self.channels, self.inputs, self.teacher = channels, inputs, teacher
        self.clock, self.straggler = Clock(), Straggler()
        self.shown: dict[str, float] = {}
        self.val_loss = float("nan")
        self.saved = time.monotonic()
        torch.manual_seed(job.seed)
        loader = self.batches("train", recipe.batch_size, train=True)
        self.loader = replace(loader, order=order, augmentation=recipe.augment)
        self.learning_rate = recipe.learning_rate(len(self.loader))

    def place(self, network: nn.Module) -> Any:
        """The network on the device, its weights laid out as convolutions want them."""
        return network.to(self.job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def batches(self, name: str, batch_size: int = EVALUATION_BATCH, *, train: bool = False) -> Loader:
        """Batches of a split, as the network reads them."""
        return self.job.loader(
            name, batch_size, train=train, task=self.task, channels=self.channels, inputs=self.inputs
        )

    def labels(self, name: str) -> Floats | None:
        """``(N, outputs)`` true values of a split, or None."""
        return self.task.labels(self.job.split(name))

    def adopt(self, network: GazeModel) -> None:
        """Takes a network to train, with an average and an optimizer of its own.

        Raises:
            InputError: where the teacher's images have another size.
        """
        if self.teacher is not None:
            self.teacher.check_student(network)
        labels = self.labels("train")
        for module in network.modules():
            if isinstance(module, StandardizedLinear) and module.is_fresh() and labels is not None:
                module.standardize(torch.from_numpy(labels))
        self.network = self.place(network)
        self.average = WeightAverage(self.network, limit=self.recipe.average)
        self.optimizer = self.make_optimizer()

    def make_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer of the network's parameters."""
        return self.recipe.make_optimizer(self.network)

    def run(self) -> GazeModel:
        """Trains what is left, a checkpoint after each epoch; writes and gives the finished network, in eval mode.

        Raises:
            InputError: where the loss or a gradient is not finite.
            StoppedError: after a signal, once everything is saved.
        """
        self.job.write_rows(self.clock.rows)  # a killed process may have saved an epoch and not its row
        while self.clock.epoch < self.recipe.epochs and not self.is_done():
            self.train_epoch()
            self.save()
            self.job.write_rows(self.clock.rows)
            self._pause(within=False)
        network = self.finish()
        self.job.run.write_network(network)
        return network

    def train_epoch(self) -> None:
        """What is left of an epoch, and validation."""
        clock, recipe, done, resumed = self.clock, self.recipe, self.clock.epoch_steps, time.monotonic()
        clock.begin_epoch()
        if not done:
            self.begin_epoch()
        self.job.progress.epoch(clock.epoch, recipe.epochs, len(self.loader))
        self.learning_rate.apply(self.optimizer)
        while True:
            self.restructure()
            left = len(self.loader) - clock.epoch_steps
            if not left:
                break
            self.train_steps(min(left, self.next_change() - clock.steps))
        trained, losses = time.monotonic() - resumed, clock.means()
        error = self.validate()
        row = {
            "epoch": clock.epoch,
            **self.row(losses, error),
            **({"teacher_loss": losses["teacher"]} if self.teacher is not None else {}),
            "seconds": round(time.monotonic() - clock.begun, 2),
            "images_per_second": round((len(self.loader) - done) * recipe.batch_size / trained, 1),
        }
        said = f", validation error {error:.2f} {self.task.error_word}" if error == error else ""
        self.job.say(f"epoch {clock.epoch + 1}/{recipe.epochs}: {self.story(losses)}{said}")
        self.learning_rate.after_epoch(self.optimizer, error)
        clock.end_epoch(row)

    def train_steps(self, count: int) -> None:
        """So many steps of the present epoch, with one structure of the network."""
        clock, world = self.clock, self.job.world
        model = world.wrap(self.network)
        model.train()
        self.move_average = self.average.follow(self.network)
        self.straggler.begin()
        for batch in itertools.islice(self.loader.epoch(clock.epoch, clock.epoch_steps), count):
            try:
                values = train_step(
                    model,
                    batch,
                    self.optimizer,
                    self.objective,
                    extra_losses=self.extra_losses,
                    world=world,
                    amp=self.recipe.amp,
                    arithmetic=self.step_arithmetic,
                )
            except NonFiniteLossError as error:
                raise InputError(self._explain(error)) from error
            clock.count(values)
            self.after_step()
            self.job.progress.step(values | self.shown)
            advice = self.straggler.step()
            if advice:
                self.job.say(advice)
            self._pause(within=clock.epoch_steps < len(self.loader))

    def own_objective(self) -> Callable[..., Losses] | None:
        """The loss that a comparator's paper gives it, if it has one of its own."""
        return self.network.objective if isinstance(self.network, Baseline) else None

    def objective(self, output: Any, batch: Batch) -> Losses:
        """The loss that a comparator's paper gives it, or the task's, and the teacher's part."""
        own = self.own_objective()
        if own is not None:
            parts = own(output, batch.images, batch.labels)
            losses = {self.task.name if name == "gaze" else name: part for name, part in parts.items()}
        else:
            losses = {self.task.name: self.task.loss(output.float(), batch.labels)}
        return losses if self.teacher is None else self.teacher.mix(losses, output, batch, self.task.loss)

    # What kinds of training do otherwise.

    def begin_epoch(self) -> None:  # noqa: B027 (nothing is an answer)
        """Before the first step of an epoch."""

    def restructure(self) -> None:  # noqa: B027
        """Before the first step of an epoch, at each :meth:`next_change`, and after the last step: changes of the
        network."""

    def next_change(self) -> int:
        """The step of the run, after the present one, before which :meth:`restructure` is to be called again."""
        return self.recipe.epochs * len(self.loader)

    def extra_losses(self) -> Losses:
        """Parts of the loss that do not depend on the batch."""
        return {}

    def step_arithmetic(self) -> AbstractContextManager[Any]:
        """Of the forward pass of a step, besides ``amp``."""
        return nullcontext()

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Of predictions."""
        return nullcontext()

    def after_step(self) -> None:
        """What follows each step of the optimizer, gradients still there."""
        self.move_average()
        self.learning_rate.after_step(self.optimizer)

    def validate(self) -> float:
        """Mean error of what is kept, on the validation people; not a number where nobody is held out."""
        labels = self.labels("val") if "val" in self.job.folder.splits else None
        if labels is None:
            return float("nan")
        predictions = self.validation_answers()
        if self.own_objective() is None:
            self.val_loss = float(self.task.loss(torch.from_numpy(predictions), torch.from_numpy(labels)))
        return self.task.mean_error(predictions, labels)

    def validation_answers(self) -> Floats:
        """``(N, outputs)`` of what is kept, for the validation people."""
        return self.predict(self.average.module, "val")  # type: ignore[arg-type]

    def loss_entries(self, losses: Mapping[str, float]) -> dict[str, Any]:
        """Of ``metrics.csv``: the task's loss in training and in validation, in one unit and of one size."""
        share = 1.0 if self.teacher is None else 1 - self.teacher.weight
        trained = losses[self.task.name] / share if share else ""
        held_out = self.val_loss if self.val_loss == self.val_loss else ""
        return {f"{self.task.name}_loss": trained, f"{self.task.name}_val_loss": held_out}

    def loss_story(self, losses: Mapping[str, float]) -> str:
        """The same in words."""
        trained, held_out = self.loss_entries(losses).values()
        words = (
            f"{self.task.name} loss {trained:.4f} {self.task.unit}" if trained != "" else "the teacher's answers alone"
        )
        return f"{words} (validation {held_out:.4f})" if held_out != "" else words

    def is_done(self) -> bool:
        """Whether training ends before its last epoch."""
        return False

    @abstractmethod
    def row(self, losses: Mapping[str, float], error: float) -> dict[str, Any]:
        """The epoch's entries of ``metrics.csv``, from the means of its losses and its validation error."""

    @abstractmethod
    def story(self, losses: Mapping[str, float]) -> str:
        """What is said of an epoch besides its validation error."""

    @abstractmethod
    def finish(self) -> GazeModel:
        """The network that is kept, in eval mode."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Entries of ``summary.json`` besides those of every training."""

    def state(self) -> dict[str, Any]:
        """Everything needed to go on to the same bytes."""
        return {
            "clock": self.clock.state(),
            "world": self.job.world.size,
            "network": self.network.state_dict(),
            "average": self.average.state(),
            "optimizer": self.optimizer.state_dict(),
            "learning_rate": self.learning_rate.state(),
            "random": random_state(self.job.device),
            "teacher": "" if self.teacher is None else self.teacher.hash,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from the :meth:`state` of a network of the same structure.

        Raises:
            InputError: where it is of something else.
        """
        taught, teacher = state.get("teacher", ""), "" if self.teacher is None else self.teacher.hash
        if taught != teacher:
            raise InputError(
                f"--resume: the run's teacher had weights {taught or 'none'}, found {teacher or 'none'}: was it "
                f"trained again? Use another --out"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.learning_rate.load_state(state["learning_rate"])
        self.clock = Clock.from_state(state["clock"])
        set_random_state(state["random"], self.job.device)

    # Saving and stopping.

    def save(self) -> None:
        """A checkpoint now."""
        if self.job.world.main:
            self.job.run.save_checkpoint(self.state())
        self.saved = time.monotonic()

    def resume(self) -> bool:
        """Goes on from the newest readable checkpoint; whether there was one.

        Raises:
            InputError: where checkpoints cannot be read or are of something else.
        """
        state, story = self.job.run.load_checkpoint()
        self.job.say(story)
        if state is None:
            return False
        before, now = state["world"], self.job.world.size
        if before != now:
            self.job.say(
                f"the run had {before} processes, now there are {now}: batches and steps stay the same, but BatchNorm "
                "sees other shares of them, so the end differs from that of an uninterrupted run"
            )
        self.load_state(state)
        step = f", step {self.clock.epoch_steps}" if self.clock.epoch_steps else ""
        self.job.say(f"resumed in epoch {self.clock.epoch + 1}{step}")
        return True

    def _pause(self, *, within: bool) -> None:
        """Saves where a signal came or, within an epoch, where the last checkpoint is old; all processes alike."""
        job, number = self.job, self.job.interruption.signal
        old = job.world.main and within and time.monotonic() - self.saved > 60 * job.save_minutes
        stop, save = job.world.agree(bool(number), old)
        if stop or save:
            self.save()
        if stop:
            at = f"epoch {self.clock.epoch + 1}, step {self.clock.epoch_steps}"
            saved = f"everything is saved in {job.run.path}"
            message = f"stopped by a signal at {at}; {saved}: the same command with --resume goes on"
            raise StoppedError(number or 15, message)

    def _explain(self, error: NonFiniteLossError) -> str:
        images, clock = self.loader.split.images, self.clock
        names = [images.name(int(row)) for row in error.rows]
        return error.story(clock.epoch + 1, clock.epoch_steps + 1, names, self.job.run.newest_checkpoint())

    # Measuring.

    def measure(self, network: GazeModel, name: str) -> float | None:
        """Mean error of ``network`` on a split; None where there is none of that name, or it has no labels."""
        labels = self.labels(name) if name in self.job.folder.splits else None
        return None if labels is None else self.task.mean_error(self.predict(network, name), labels)

    def predict(self, network: GazeModel, name: str) -> Floats:
        """``(N, outputs)`` of ``network`` for a split in order; each process computes its share of the images."""
        loader = self.batches(name)
        rows: list[NDArray[np.int64]] = []

        def noted(batch: Batch) -> Batch:
            rows.append(batch.rows)
            return batch

        self.job.world.copy_from_main([*network.parameters(), *network.buffers()])
        found = predict(network, (noted(batch) for batch in loader.epoch(0)), arithmetic=self.arithmetic)
        everything = torch.zeros(len(loader.split), len(self.task.outputs))
        if rows:
            everything[np.concatenate(rows)] = torch.from_numpy(found)
        predictions: Floats = self.job.world.sum(everything).numpy()
        return predictions
