"""What a search and a fine-tuning share: where they run, how they report, how they end."""

from __future__ import annotations

import itertools
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gazenas.counting import count_macs, count_params
from gazenas.data.dataset import GazeFolder, GazeSplit
from gazenas.data.loader import Batch, Loader
from gazenas.data.people import people_record
from gazenas.errors import InputError, StoppedError
from gazenas.models.baselines import Baseline
from gazenas.models.zoo import GazeModel
from gazenas.tasks.gaze import head_pose_error, mean_error, mean_predictor_error
from gazenas.training.loop import Losses, Meter, NonFiniteLossError, gaze_losses, predict, train_epoch
from gazenas.training.processes import ALONE, World
from gazenas.training.recipe import TrainingRecipe
from gazenas.training.run_folder import RunFolder
from gazenas.training.signals import Interruption

MEMORY_LIMIT = 2 << 30  # bytes of images that a split may hold in memory
EVALUATION_BATCH = 128
Floats = NDArray[np.float32]


class Progress(Protocol):
    """Where long work reports to."""

    def epoch(self, number: int, total: int, steps: int) -> None:
        """An epoch of ``steps`` steps begins."""
        ...

    def step(self, values: Mapping[str, float]) -> None:
        """A step has been done; its losses."""
        ...

    def say(self, text: str) -> None:
        """Something worth a line of its own."""
        ...


class Trainee(Protocol):
    """What a :class:`Job` trains: a search or a fine-tuning."""

    optimizer: torch.optim.Optimizer
    loader: Loader
    clock: Clock

    @property
    def recipe(self) -> TrainingRecipe:
        """How to train."""
        ...

    @property
    def network(self) -> GazeModel:
        """What is trained."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to go on to the same bytes."""
        ...

    def extra_losses(self) -> Losses:
        """Parts of the loss besides the gaze."""
        ...

    def after_step(self) -> None:
        """What follows each step of the optimizer."""
        ...


@dataclass
class Clock:
    """Where a training run stands.

    Attributes:
        epoch: being trained, from 0.
        steps: of the optimizer so far.
        meter: of the steps of this epoch.
        rows: of ``metrics.csv``, one a finished epoch.
        started: when the run began, by ``time.monotonic``, as if this process had done all that is saved of it.
        begun: the same of the epoch.
    """

    epoch: int = 0
    steps: int = 0
    meter: Meter = field(default_factory=Meter)
    rows: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    begun: float = field(default_factory=time.monotonic)

    def begin_epoch(self) -> None:
        """To be called before each epoch, and before the rest of one."""
        if not self.meter.steps:
            self.begun = time.monotonic()

    def end_epoch(self, row: dict[str, Any]) -> None:
        """Closes the epoch with its row."""
        self.rows.append(row)
        self.epoch, self.meter = self.epoch + 1, Meter()

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        meter = {"steps": self.meter.steps, "sums": dict(self.meter.sums)}
        now = time.monotonic()
        spent = {"run": now - self.started, "epoch": now - self.begun}
        return {"epoch": self.epoch, "steps": self.steps, "rows": self.rows, "meter": meter, "spent": spent}

    @staticmethod
    def from_state(state: dict[str, Any]) -> Clock:
        """The clock whose :meth:`state` this is."""
        meter = Meter(state["meter"]["steps"], defaultdict(float, state["meter"]["sums"]))
        started, begun = (time.monotonic() - state["spent"][what] for what in ("run", "epoch"))
        return Clock(state["epoch"], state["steps"], meter, state["rows"], started, begun)


class Straggler:
    """Notices steps that suddenly take ten times as long, as they do where two programs share cores and threads wait."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.last = time.monotonic()
        self.said = False

    def begin(self) -> None:
        """An epoch begins: what lies between epochs is no step."""
        self.last = time.monotonic()

    def step(self) -> str:
        """Advice, once, or nothing."""
        now = time.monotonic()
        taken, self.last = now - self.last, now
        usual = float(np.median(self.seconds)) if len(self.seconds) >= 20 else float("inf")
        self.seconds = [*self.seconds[-99:], taken]
        if self.said or taken < 10 * usual or taken < 1:
            return ""
        self.said = True
        return (
            f"a step took {taken:.1f} s, usually {usual:.2f} s: another program may share the cores, which makes threads wait for one "
            "another; stop it, or begin this run again with --threads 1"
        )


@dataclass
class Job:
    """The surroundings of a training run.

    Attributes:
        folder: the data.
        run: where results go.
        seed: of everything drawn.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        workers: loader processes.
        progress: where to report.
        world: the processes that train together.
        interruption: a signal to stop, looked at after each step.
        save_minutes: between two checkpoints within an epoch.
        predictions: by split, of the finished network, once :meth:`conclude` has made them.
    """

    folder: GazeFolder
    run: RunFolder
    seed: int
    device: str
    workers: int
    progress: Progress
    world: World = ALONE
    interruption: Interruption = field(default_factory=Interruption)
    save_minutes: float = 5.0
    predictions: dict[str, Floats] = field(default_factory=dict)
    saved: float = field(default_factory=time.monotonic)
    straggler: Straggler = field(default_factory=Straggler)

    def say(self, text: str) -> None:
        """Tells the person and the log."""
        self.progress.say(text)
        self.run.log(text)

    def split(self, name: str) -> GazeSplit:
        """A split, its images in memory where they are few."""
        self.folder.splits[name] = split = self.folder.split(name).in_memory(MEMORY_LIMIT)
        return split

    def loader(self, name: str, batch_size: int, *, train: bool) -> Loader:
        """Batches of a split for this job's device; of each, this process's share."""
        return Loader(
            self.split(name),
            batch_size,
            self.seed,
            train,
            self.workers,
            self.device,
            rank=self.world.rank,
            processes=self.world.size,
        )

    def train_epoch(
        self, trainee: Trainee, model: nn.Module, show: Mapping[str, float], until: int | None = None
    ) -> dict[str, float]:
        """What is left of the present epoch, or of it until ``until`` steps of the run; means of the loss's parts so far.

        Args:
            trainee: whose clock says where to go on.
            model: its network as ``world.wrap`` gave it.
            show: numbers for the progress bar besides the losses.

        Raises:
            InputError: where the loss or a gradient is not finite.
            StoppedError: after a signal, once everything is saved.
        """
        loader, clock = trainee.loader, trainee.clock
        count = len(loader) - clock.meter.steps if until is None else until - clock.steps
        batches = itertools.islice(loader.epoch(clock.epoch, clock.meter.steps), count)
        self.straggler.begin()

        def after_step() -> None:
            clock.steps += 1
            trainee.after_step()

        def on_step(values: dict[str, float]) -> None:
            self.progress.step(values | dict(show))
            advice = self.straggler.step()
            if advice:
                self.say(advice)
            self.pause(trainee, within=clock.meter.steps < len(loader))

        try:
            return train_epoch(
                model,
                batches,
                trainee.optimizer,
                objective=_objective(trainee.network),
                extra_losses=trainee.extra_losses,
                after_step=after_step,
                on_step=on_step,
                meter=clock.meter,
                world=self.world,
                amp=trainee.recipe.amp,
            )
        except NonFiniteLossError as error:
            raise InputError(self._explain(error, trainee)) from error

    def pause(self, trainee: Trainee, *, within: bool) -> None:
        """Saves where a signal came or, within an epoch, where the last checkpoint is old; all processes alike.

        Raises:
            StoppedError: after a signal.
        """
        old = self.world.main and within and time.monotonic() - self.saved > 60 * self.save_minutes
        stop, save = self.world.agree(bool(self.interruption.signal), old)
        if stop or save:
            self.save(trainee)
        if stop:
            at = f"epoch {trainee.clock.epoch + 1}, step {trainee.clock.meter.steps}"
            message = f"stopped by a signal at {at}; everything is saved in {self.run.path}: the same command with --resume goes on"
            self.run.log(message)
            raise StoppedError(self.interruption.signal or 15, message)

    def save(self, trainee: Trainee) -> None:
        """A checkpoint now."""
        if self.world.main:
            self.run.save_checkpoint(trainee.state())
        self.saved = time.monotonic()

    def end_epoch(self, trainee: Trainee) -> None:
        """Saves a finished epoch, its metrics, and stops where a signal came."""
        self.save(trainee)
        self.run.write_metrics(trainee.clock.rows)
        self.pause(trainee, within=False)

    def _explain(self, error: NonFiniteLossError, trainee: Trainee) -> str:
        """Where the numbers broke down, and what to do."""
        images = trainee.loader.split.images
        parts = ", ".join(f"{name} {value}" for name, value in error.parts.items())
        last = self.run.newest_checkpoint()
        return (
            f"{error.what} is not finite in epoch {trainee.clock.epoch + 1}, step {trainee.clock.meter.steps + 1}; loss: {parts}; "
            f"images of the batch: {', '.join(images.name(int(row)) for row in error.rows)}; nothing was changed by this step; "
            f"last good checkpoint: {last or 'none yet'}; try a smaller --lr, or look at these images"
        )

    def validate(self, network: GazeModel, name: str = "val") -> float:
        """Mean error of ``network`` in degrees on a labeled split."""
        split = self.split(name)
        assert split.gaze is not None, f"split {name} has no labels"
        return mean_error(self.predict(network, name), split.gaze)

    def predict(self, network: GazeModel, name: str) -> Floats:
        """``(N, 2)`` angles of ``network`` for a split in order; each process computes its share of the images."""
        loader = self.loader(name, EVALUATION_BATCH, train=False)
        rows: list[NDArray[np.int64]] = []

        def noted(batch: Batch) -> Batch:
            rows.append(batch.rows)
            return batch

        self.world.copy_from_main([*network.parameters(), *network.buffers()])
        found = predict(network, (noted(batch) for batch in loader.epoch(0)))
        everything = torch.zeros(len(loader.split), 2)
        if rows:
            everything[np.concatenate(rows)] = torch.from_numpy(found)
        predictions: Floats = self.world.sum(everything).numpy()
        return predictions

    def reference_split(self) -> str:
        """The split on which simple predictors are measured and faces are shown: the test set where it has labels."""
        test = self.folder.splits.get("test")
        if test is not None and (test.gaze is not None or "val" not in self.folder.splits):
            return "test"
        return "val"

    def conclude(
        self, verb: str, network: GazeModel, clock: Clock, extra: Callable[[], Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Measures the finished network and writes the summary, and predictions where the test set has no labels."""
        errors: dict[str, float | None] = {}
        for name in [name for name in ("val", "test") if name in self.folder.splits]:
            self.predictions[name] = self.predict(network, name)
            split = self.split(name)
            errors[name] = None if split.gaze is None else mean_error(self.predictions[name], split.gaze)
            if name == "test" or split.gaze is None:
                path = self.run.write_predictions(split, self.predictions[name])
                if split.gaze is None:
                    self.say(f"the {name} files carry no labels: no error; predictions are in {path}")
        train, reference = self.split("train"), self.split(self.reference_split())
        summary = {
            "verb": verb,
            "macs": count_macs(network, network.input_size),
            "params": count_params(network),
            "input_size": network.input_size,
            "test_error_deg": errors.get("test"),
            "val_error_deg": errors.get("val"),
            "mean_predictor_error_deg": mean_predictor_error(train.gaze, reference.gaze),
            "head_pose_error_deg": head_pose_error(train.gaze, train.head_pose, reference.gaze, reference.head_pose),
            "reference_split": reference.name,
            "seconds": round(time.monotonic() - clock.started, 1),
            "seed": self.seed,
            "fingerprint": network.architecture().fingerprint(),
            "data": {
                **people_record(self.folder),
                "people": {name: len(split.people) for name, split in self.folder.splits.items()},
                "images": {name: len(split) for name, split in self.folder.splits.items()},
                "frame": self.folder.frame,
                "group": self.folder.group,
                "choices": self.folder.choices,
                "notes": self.folder.notes,
            },
        } | dict(extra())
        self.run.write_summary(summary)
        return summary


def step_time(step: Callable[[], None], steps: int = 20) -> tuple[float, int]:
    """Seconds a step of ``step`` takes in the mean over ``steps`` after two more, and peak memory in bytes so far."""
    for _ in range(2):
        step()
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    seconds = (time.perf_counter() - begin) / steps
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return seconds, torch.cuda.max_memory_allocated()
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _objective(network: GazeModel) -> Callable[[Any, Batch], Losses]:
    """The loss that a comparator's paper gives it, or the L1 loss."""
    own = network.objective if isinstance(network, Baseline) else None
    return gaze_losses if own is None else lambda output, batch: own(output, batch.images, batch.gaze)
