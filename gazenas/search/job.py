"""The search itself: train with importance factors, press the losers, shrink, recalibrate, go on, freeze."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any

import torch

from gazenas.architecture import Architecture, InputError, SearchSpace
from gazenas.averaging import WeightAverage
from gazenas.counting import count_macs
from gazenas.engine import Losses, optimizer_groups, predict, train_epoch
from gazenas.gaze import angular_error
from gazenas.models.builders import build_network, build_supernet
from gazenas.models.network import Network
from gazenas.search.control import Losers, Schedule, cheapest_cut, check_target, macs_left, parse_target, plan_schedule
from gazenas.search.freeze import freeze
from gazenas.search.penalty import Penalty
from gazenas.search.recalibrate import recalibrate
from gazenas.search.shrink import ShrinkReport, remove
from gazenas.search.units import unit_groups
from gazenas.training import EVALUATION_BATCH, Job

WARM_UP_STEPS = 50  # over which the step size rises


@dataclass(frozen=True)
class SearchRecipe:
    """How a search trains; the command line's words for it are the fields' names.

    Attributes:
        epochs: passes over the training people.
        batch_size: images a step.
        lr: Adam's step size for weights.
        decay, decay_every: ``lr`` is multiplied by ``decay`` every ``decay_every`` epochs.
        weight_decay: of weights; importance factors have none.
        average: limit of the weight average's decay.
        penalty_weight: lambda, of the penalty with normalised unit costs.
        penalty_warm_up: share of the search over which lambda rises linearly.
        cost: what the penalty weighs units by.
        shrink_every: epochs between shrinks.
        threshold: importances at or below it are removed.
        recalibration: batches that re-estimate BatchNorm statistics after a shrink.
    """

    epochs: int = 12
    batch_size: int = 64
    lr: float = 2e-3
    decay: float = 0.97
    decay_every: int = 1
    weight_decay: float = 1e-5
    average: float = 0.9999
    penalty_weight: float = 1e-5
    penalty_warm_up: float = 0.25
    cost: str = "macs"
    shrink_every: int = 1
    threshold: float = 1e-3
    recalibration: int = 10

    def check(self) -> None:
        """Raises InputError where a number is out of range, all at once."""
        positive = ("epochs", "batch_size", "lr", "decay", "decay_every", "shrink_every", "recalibration")
        faults = [
            f"{name}: expected more than 0, found {getattr(self, name)}"
            for name in positive
            if not getattr(self, name) > 0
        ]
        least = ("weight_decay", "penalty_weight", "penalty_warm_up", "threshold")
        faults += [
            f"{name}: expected at least 0, found {getattr(self, name)}"
            for name in least
            if not getattr(self, name) >= 0
        ]
        if not 0 <= self.average < 1:
            faults.append(f"average: expected at least 0 and less than 1, found {self.average}")
        if faults:
            raise InputError("recipe: " + "; ".join(faults))


PAPER_RECIPE = {"epochs": 50, "batch_size": 369, "lr": 1e-3, "decay": 0.97, "decay_every": 5, "penalty_warm_up": 0.5}


class Search:
    """A search in progress: everything that a checkpoint holds.

    Args:
        recipe: how to train.
        space: what to search.
        target: as given on the command line: ``12M``, ``40%``, ...
        job: data, run folder, device.

    Raises:
        InputError: where the recipe, the target or the data does not fit, before anything is trained.
    """

    def __init__(self, recipe: SearchRecipe, space: SearchSpace, target: str, job: Job) -> None:
        recipe.check()
        job.folder.expect_size(space.input_size, f"search space {space.name!r}")
        self.recipe, self.space, self.job = recipe, space, job
        torch.manual_seed(job.seed)
        self.loader = job.loader("train", recipe.batch_size, train=True)
        self._place(build_supernet(space))
        full = count_macs(self.network, space.input_size)
        self.schedule: Schedule = plan_schedule(full, parse_target(target, full), recipe.epochs, recipe.shrink_every)
        check_target(self.network, self.schedule.target)
        self.average = WeightAverage(self.network, limit=recipe.average)
        self.optimizer: torch.optim.Optimizer = self._optimizer()
        self.losers: Losers | None = None
        self.penalty = Penalty(self.network, recipe.cost)
        self.epoch = self.steps = 0
        self.rows: list[dict[str, Any]] = []

    def run(self) -> Network:
        """Trains the epochs that are left, a checkpoint after each; gives the frozen network, in eval mode."""
        while self.epoch < self.recipe.epochs:
            self.train_epoch()
            self.job.run.save_checkpoint(self.state())
            self.job.run.write_metrics(self.rows)
        subnet = freeze(self.average.module).cpu().eval()
        self.job.run.write_network(subnet.architecture(), subnet)
        return subnet.to(self.job.device)

    def train_epoch(self) -> None:
        """One epoch, the shrink at its end where one is planned, and validation of the average."""
        recipe, begun = self.recipe, time.monotonic()
        self._choose_losers()
        self.penalty = Penalty(self.network, recipe.cost)
        interval = self._interval()
        self.job.progress.epoch(self.epoch, recipe.epochs, len(self.loader))
        macs = count_macs(self.network, self.space.input_size)

        def after_step() -> None:
            self.steps += 1
            if self.losers is not None:
                self.losers.press((self.steps - interval[0]) / (interval[1] - interval[0]))
            self.average.update(self.network)
            self._set_step_size()

        self._set_step_size()
        losses = train_epoch(
            self.network,
            self.loader.epoch(self.epoch),
            self.optimizer,
            extra_losses=self.extra_losses,
            after_step=after_step,
            on_step=lambda values: self.job.progress.step(values | {"MMACs": macs / 1e6}),
        )
        trained = time.monotonic() - begun
        removed = (
            self._shrink()
            if self.schedule.remaining(self.epoch) is not None
            else {"fell": 0, "pressed": 0, "cut": 0, "moved_deg": 0.0}
        )
        error = self.job.validate(self.average.module).mean  # type: ignore[arg-type]
        self.rows.append(
            {
                "epoch": self.epoch,
                "gaze_loss": losses["gaze"],
                "penalty": losses["penalty"],
                "lambda": self.penalty_weight(),
                "lr": self.optimizer.param_groups[0]["lr"],
                "macs": count_macs(self.network, self.space.input_size),
                "val_error_deg": error,
                **removed,
                "seconds": round(time.monotonic() - begun, 2),
                "images_per_second": round(len(self.loader) * recipe.batch_size / trained, 1),
            }
        )
        self.job.say(
            f"epoch {self.epoch + 1}/{recipe.epochs}: gaze loss {losses['gaze']:.4f} rad, "
            f"{self.rows[-1]['macs'] / 1e6:.2f} M MACs, validation error {error:.2f} degrees"
        )
        self.epoch += 1

    def extra_losses(self) -> Losses:
        """Lambda times the penalty at the present step."""
        return {"penalty": self.penalty_weight() * self.penalty()}

    def penalty_weight(self) -> float:
        """Lambda at the present step."""
        rise = self.recipe.penalty_warm_up * self.recipe.epochs * len(self.loader)
        return self.recipe.penalty_weight * min(1.0, self.steps / max(rise, 1))

    def state(self) -> dict[str, Any]:
        """Everything needed to go on to the same bytes."""
        return {
            "epoch": self.epoch,
            "steps": self.steps,
            "rows": self.rows,
            "arch": self.network.architecture().to_dict(),
            "network": self.network.state_dict(),
            "average": self.average.module.state_dict(),
            "average_steps": self.average.steps,
            "optimizer": self.optimizer.state_dict(),
            "losers": None if self.losers is None else self.losers.state(),
            "random": torch.get_rng_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint's state.

        Raises:
            InputError: where it is of another search space.
        """
        arch = Architecture.from_dict(state["arch"], "checkpoint")
        if arch.space != self.space:
            raise InputError(
                f"--resume: the checkpoint is of another search space ({arch.space.name!r}, edited since?)"
            )
        self._place(build_network(arch, importance=True))
        self.network.load_state_dict(state["network"])
        self.average = WeightAverage(self.network, limit=self.recipe.average)
        self.average.module.load_state_dict(state["average"])
        self.average.steps = state["average_steps"]
        self.optimizer = self._optimizer()
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.steps, self.rows = state["epoch"], state["steps"], state["rows"]
        if state["losers"] is not None:
            self.losers = Losers(self.network, self.schedule.full)
            self.losers.load_state(state["losers"])
        torch.set_rng_state(state["random"])

    def _place(self, network: Network) -> None:
        self.network = network.to(self.job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _optimizer(self) -> torch.optim.Adam:
        recipe = self.recipe
        total = recipe.epochs * len(self.loader)
        # Adam moves a factor by about its step size a step: a useless one reaches 0 in a third of the search.
        groups = optimizer_groups(self.network, self.network.importances(), recipe.weight_decay, min(3 / total, 0.02))
        return torch.optim.Adam(groups, lr=recipe.lr, betas=(0.9, 0.999), fused=True)

    def _set_step_size(self) -> None:
        lr = self.recipe.lr * self.recipe.decay ** (self.epoch // self.recipe.decay_every)
        self.optimizer.param_groups[0]["lr"] = lr * min(1.0, (self.steps + 1) / WARM_UP_STEPS)

    def _interval(self) -> tuple[int, int]:
        """First and last step of the interval that ends with the next shrink; empty ones have a step of their own."""
        length = len(self.loader)
        ends = [epoch for epoch in self.schedule.shrinks if epoch >= self.epoch]
        if not ends:
            return self.steps, self.steps + 1
        earlier = [epoch for epoch in self.schedule.shrinks if epoch < self.epoch]
        begin = earlier[-1] + 1 if earlier else max(0, ends[0] - self.recipe.shrink_every + 1)
        return begin * length, (ends[0] + 1) * length

    def _choose_losers(self) -> None:
        """At the start of an interval, picks the units that go at its end."""
        begin, end = self._interval()
        if self.steps != begin or not any(epoch >= self.epoch for epoch in self.schedule.shrinks):
            return
        remaining = self.schedule.remaining(end // len(self.loader) - 1)
        assert remaining is not None, "an interval ends with a shrink"
        self.losers = Losers(self.network, remaining)

    def _shrink(self) -> dict[str, float]:
        """Removes what the schedule wants gone and what fell by itself, never going under the target."""
        remaining = self.schedule.remaining(self.epoch)
        assert remaining is not None, "called where a shrink is planned"
        groups = unit_groups(self.network)
        small = {group.name: group.alpha.detach().abs() > self.recipe.threshold for group in groups}
        by_themselves = macs_left(self.network, groups, small)
        keep = cheapest_cut(self.network, groups, min(remaining, max(by_themselves, self.schedule.target)))
        pressed = {} if self.losers is None else self.losers.keep
        counts = {"fell": 0, "pressed": 0, "cut": 0}
        for group in groups:
            gone, under = ~keep[group.name], ~small[group.name].cpu()
            chosen = ~pressed[group.name].cpu() if group.name in pressed else torch.zeros_like(gone)
            counts["fell"] += int((gone & under & ~chosen).sum())
            counts["pressed"] += int((gone & under & chosen).sum())
            counts["cut"] += int((gone & ~under).sum())
        before = self._sample()
        report: ShrinkReport = remove(
            self.network,
            {name: mask.to(self.job.device) for name, mask in keep.items()},
            optimizer=self.optimizer,
            average=self.average,
        )
        moved = float(angular_error(self._sample(), before).mean())
        self.losers = None
        # What was cut has lost its layout; a resumed run, placed anew, would compute with other strides.
        self._place(self.network)
        self.average.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for network in (self.network, self.average.module):
            batches = self.loader.epoch(self.recipe.epochs + self.epoch)
            recalibrate(network, itertools.islice(batches, self.recipe.recalibration))
        self.job.say(
            f"shrink: {report.units} units and {report.macs_saved / 1e6:.2f} M MACs gone; {counts['fell']} fell by themselves, "
            f"{counts['pressed']} were pressed to zero, {counts['cut']} cut only to keep the schedule; output moved by {moved:.4f} degrees"
        )
        return counts | {"moved_deg": moved}

    def _sample(self) -> Any:
        """Predictions of the live network on a batch of validation images."""
        loader = self.job.loader("val", EVALUATION_BATCH, train=False)
        return predict(self.network, itertools.islice(loader.epoch(0), 1))
