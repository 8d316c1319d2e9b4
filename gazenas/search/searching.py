"""The search itself: train with importance factors, press the losers, shrink, recalibrate, go on, freeze."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gazenas.costs import CostMetric
from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.gaze import angular_error
from gazenas.models.build import build_network
from gazenas.models.freezing import freeze
from gazenas.models.network import Network, as_network
from gazenas.models.zoo import build_supernet, load_model
from gazenas.search.controller import Controller, Survivors
from gazenas.search.importance.scale import pin_scale
from gazenas.search.importance.sensitivity import Sensitivity
from gazenas.search.recalibration import recalibrate
from gazenas.search.recipe import SearchRecipe
from gazenas.search.regularization import Penalty, proximal_step
from gazenas.search.schedule import Losers, Schedule, plan_schedule
from gazenas.search.shrinking import ShrinkReport, remove, with_least
from gazenas.search.targets import Plan, Targets, make_plan, quantity_of
from gazenas.search.units import unit_groups
from gazenas.space.architecture import Architecture
from gazenas.space.search_space import SearchSpace
from gazenas.training.averaging import WeightAverage
from gazenas.training.loop import Losses, predict
from gazenas.training.trainer import EVALUATION_BATCH, Clock, Job

NO_SHRINK = {"fell": 0, "pressed": 0, "cut": 0, "moved_deg": 0.0}
FOUND = "found"
BINS = 25  # of the histogram of importance factors, from 0 to 1.25


class Search:
    """A search in progress: everything that a checkpoint holds.

    Args:
        recipe: how to train.
        space: what to search.
        targets: budgets to arrive at; without any, lambda stays as the recipe has it and decides how much goes.
        job: data, run folder, device, processes.
        control: ``found`` searches. Any other name trains one architecture with the same recipe and steps, and removes
            nothing: ``given``, or one that this kind of ``gazenas.search.random_baseline`` draws under the budgets.
        given: an architecture to train from new weights in place of a search.

    Raises:
        InputError: where the recipe, a budget or the data does not fit, before anything is trained.
    """

    def __init__(
        self,
        recipe: SearchRecipe,
        space: SearchSpace,
        targets: Targets,
        job: Job,
        control: str = FOUND,
        given: Architecture | None = None,
    ) -> None:
        recipe.check()
        job.folder.expect_size(space.input_size, f"search space {space.name!r}")
        self.clock = Clock()
        self.recipe = recipe if control == FOUND else replace(recipe, penalty_weight=0.0)
        self.space, self.job, self.control = space, job, control
        torch.manual_seed(job.seed)
        self.loader = replace(job.loader("train", recipe.batch_size, train=True), augmentation=recipe.augment)
        self._place(build_supernet(space))
        self.full_macs = count_macs(self.network, space.input_size)
        self.plan: Plan = make_plan(targets, self.network, job.world)
        self.schedule: Schedule = plan_schedule(
            self.plan.full,
            self.plan.waypoints,
            epochs=recipe.epochs,
            epoch_steps=len(self.loader),
            every=recipe.shrink_every,
            begin=recipe.shrink_from,
            end=recipe.shrink_until,
        )
        self.controller = Controller(self.plan, self.schedule, recipe.importance, recipe.shrink_at_most, job.world)
        if control != FOUND:
            if given is None:
                remove(self.network, self.controller.draw(self.network, control, job.seed))
                self._place(self.network)
            else:
                self._place(build_network(given, importance=True))
            self.controller.schedule = self.schedule = replace(self.schedule, waypoints=(), shrinks=())
        elif self.plan.waypoints:
            self._begin_narrow()
        self.cost: CostMetric = quantity_of(recipe.cost, targets.tables, space, job.world).amount
        self.average = WeightAverage(self.network, limit=recipe.average)
        self.optimizer = self._optimizer()
        self.learning_rate = recipe.learning_rate(len(self.loader))
        self.sensitivity = Sensitivity(self.network)
        self.losers: Losers | None = None
        self.shrunk = self.chosen = 0  # shrinks that were done, and that losers were chosen for
        self.removed: dict[str, float] = dict(NO_SHRINK)  # in this epoch
        self.penalty = Penalty(self.network, self.cost)
        self.penalty_gradients: tuple[Tensor, ...] = ()  # of the present step, where the penalty acts by gradient
        self.histograms: list[dict[str, Any]] = []
        self.family: list[dict[str, Any]] = []

    def _begin_narrow(self) -> None:
        """Thins the fresh supernet to a few times its budget, and sets what must stay of it."""
        keep = self.controller.narrow(self.network, self.recipe.start_at) if self.recipe.start_at else None
        if keep is not None:
            remove(self.network, keep)
            self._place(self.network)
            begun = tuple(resource.total(self.network, self.network.widths()) for resource in self.plan.resources)
            self.controller.schedule = self.schedule = replace(self.schedule, full=begun)
        self.controller.set_floors(self.network, self.recipe.keep_stream, self.recipe.keep_block)

    def run(self) -> Network:
        """Trains what is left, a checkpoint after each epoch; gives the frozen network, in eval mode."""
        for resource in self.plan.resources:
            if resource.checks:
                self.job.say(
                    f"{resource.quantity.name}: sums over parts are {min(resource.checks):.2f} to {max(resource.checks):.2f} times "
                    f"the {resource.unit} of {len(resource.checks)} networks measured whole"
                )
        while self.clock.epoch < self.recipe.epochs:
            self.train_epoch()
            self.job.end_epoch(self)
        self._keep_member()
        subnet = freeze(self.average.module).cpu().eval()
        self._warn_of_emptiness()
        self.job.run.write_network(subnet)
        return subnet.to(self.job.device)

    def train_epoch(self) -> None:
        """What is left of an epoch, the shrinks that are due in it, and validation."""
        recipe, clock, done, resumed = self.recipe, self.clock, self.clock.meter.steps, time.monotonic()
        clock.begin_epoch()
        if not done:
            self.removed = dict(NO_SHRINK)
            self._pin()
        self.job.progress.epoch(clock.epoch, recipe.epochs, len(self.loader))
        self.learning_rate.apply(self.optimizer)
        while True:
            self._shrink_where_due()
            left = len(self.loader) - clock.meter.steps
            if not left:
                break
            self._train_until(min(self._next_stop(), clock.steps + left))
        losses, removed = clock.meter.means(), self.removed
        trained = time.monotonic() - resumed
        if recipe.average:
            # Copied importance factors and averaged weights were never trained together: their BatchNorms must be told.
            self._recalibrate(self.average.module)
        error = self.job.validate(self.average.module)  # type: ignore[arg-type]
        row = {
            "epoch": clock.epoch,
            "gaze_loss": losses["gaze"],
            "penalty": losses["penalty"],
            "lambda": self.penalty_weight(),
            "lr": self.learning_rate.scheduled,
            "macs": count_macs(self.network, self.space.input_size),
            "val_error_deg": error,
            **removed,
            "seconds": round(time.monotonic() - clock.begun, 2),
            "images_per_second": round((len(self.loader) - done) * recipe.batch_size / trained, 1),
        }
        self.job.say(
            f"epoch {clock.epoch + 1}/{recipe.epochs}: gaze loss {losses['gaze']:.4f} rad, "
            f"{row['macs'] / 1e6:.2f} M MACs, validation error {error:.2f} degrees"
        )
        self.learning_rate.after_epoch(self.optimizer, error)
        clock.end_epoch(row)

    def _train_until(self, step: int) -> None:
        """Trains with one structure of the network."""
        self._choose_losers()
        self.penalty = Penalty(self.network, self.cost)
        self.move_average = self.average.follow(self.network)
        macs = count_macs(self.network, self.space.input_size)
        self.job.train_epoch(self, self.job.world.wrap(self.network), {"MMACs": macs / 1e6}, step)

    def _next_stop(self) -> int:
        """The step before which nothing but training is to be done."""
        interval = self.schedule.next_interval(self.shrunk)
        if interval is None:
            return self.recipe.epochs * len(self.loader)
        return interval[0] if self.clock.steps < interval[0] else interval[1]

    def extra_losses(self) -> Losses:
        """Lambda times the penalty at the present step; with a proximal step, without a gradient."""
        weight = self.penalty_weight()
        self.penalty_gradients = ()
        if not weight:
            return {"penalty": torch.zeros((), device=self.job.device)}
        penalty = weight * self.penalty()
        if self.recipe.regularizer != "l1":
            return {"penalty": penalty.detach()}
        self.penalty_gradients = self.penalty.gradients(weight)  # before the step moves the factors
        return {"penalty": penalty}

    def after_step(self) -> None:
        """Presses importance factors, moves the average and the learning rate."""
        self.sensitivity.update(self.penalty_gradients)
        if self.recipe.regularizer == "proximal" and self.penalty_weight():
            proximal_step(self.penalty.alphas, self.penalty.parts, self.penalty_weight(), self.optimizer)
        interval = self.schedule.next_interval(self.shrunk)
        if self.losers is not None and interval is not None:
            self.losers.press((self.clock.steps - interval[0]) / (interval[1] - interval[0]))
        self.move_average()
        self.learning_rate.after_step(self.optimizer)

    def penalty_weight(self) -> float:
        """Lambda at the present step: it rises at first, and ends where the last budget is reached."""
        if self.plan.waypoints and self.schedule.shrinks and self.shrunk == len(self.schedule.shrinks):
            return 0.0
        rise = self.recipe.penalty_warm_up * self.recipe.epochs * len(self.loader)
        return self.recipe.penalty_weight * min(1.0, self.clock.steps / max(rise, 1))

    def amounts(self) -> dict[str, float]:
        """Of each resource with a budget, what the network takes now; measured, not estimated, where the quantity can be."""
        widths = self.network.widths()
        return {r.name: self.controller.amount(self.network, r, widths) for r in self.plan.resources}

    def measured_family(self) -> list[dict[str, Any]]:
        """The networks frozen on the way down, with their errors on the test people where those are labeled."""
        for member in self.family:
            if "test_error_deg" not in member:
                network = load_model(self.job.run.path / "family" / member["name"])
                labeled = "test" in self.job.folder.splits and self.job.split("test").gaze is not None
                member["test_error_deg"] = self.job.validate(network.to(self.job.device), "test") if labeled else None
        return self.family

    def state(self) -> dict[str, Any]:
        """Everything needed to go on to the same bytes."""
        return {
            "clock": self.clock.state(),
            "world": self.job.world.size,
            "arch": self.network.architecture().to_dict(),
            "network": self.network.state_dict(),
            "average": self.average.state(),
            "optimizer": self.optimizer.state_dict(),
            "learning_rate": self.learning_rate.state(),
            "sensitivity": self.sensitivity.state(),
            "losers": None if self.losers is None else self.losers.state(),
            "shrinks": {"done": self.shrunk, "chosen": self.chosen, "removed": self.removed},
            "histograms": self.histograms,
            "family": self.family,
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
        self.average.load_state(state["average"])
        self.optimizer = self._optimizer()
        self.optimizer.load_state_dict(state["optimizer"])
        self.learning_rate.load_state(state["learning_rate"])
        self.sensitivity = Sensitivity(self.network)
        self.sensitivity.load_state(state["sensitivity"])
        self.losers = None if state["losers"] is None else Losers.from_state(self.network, state["losers"])
        self.shrunk, self.chosen, self.removed = (state["shrinks"][key] for key in ("done", "chosen", "removed"))
        self.clock = Clock.from_state(state["clock"])
        self.histograms, self.family = state["histograms"], state["family"]
        torch.set_rng_state(state["random"])

    def _place(self, network: Network) -> None:
        self.network = network.to(self.job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _optimizer(self) -> torch.optim.Optimizer:
        recipe = self.recipe
        # Adam moves a factor by about its learning rate a step: a useless one reaches 0 in a third of the search.
        derived = min(3 / (recipe.epochs * len(self.loader)), 0.02)
        return recipe.make_optimizer(self.network, self.network.importances(), recipe.importance_lr or derived)

    def _pin(self) -> None:
        """Fixes the scale of importance factors."""
        for network in {self.network, as_network(self.average)}:
            pin_scale(network)

    def _choose_losers(self) -> None:
        """Where an interval begins at whose end units leave, picks them, so that they are pressed to zero until then."""
        interval = self.schedule.next_interval(self.shrunk)
        if (
            self.recipe.press
            and interval is not None
            and interval[0] <= self.clock.steps
            and self.chosen == self.shrunk
        ):
            self.chosen += 1
            keep = self.controller.choose(self.network, self.sensitivity, interval[1])
            self.losers = None if keep is None else Losers(self.network, keep, self.recipe.press)

    def _shrink_where_due(self) -> None:
        """Removes what is due after the present step, and counts which units left for which reason."""
        interval = self.schedule.next_interval(self.shrunk)
        if interval is None or self.clock.steps < interval[1]:
            return
        self._keep_member()
        dead = {
            group.name: ~with_least(group, group.alpha.detach().abs() > self.recipe.threshold)
            for group in unit_groups(self.network)
        }
        if self.plan.resources:
            keep = self.controller.drop_unused(self.network, self.sensitivity, interval[1], dead)
        else:
            least = self.recipe.shrink_macs if self.shrunk + 1 < len(self.schedule.shrinks) else 0
            keep = self.controller.settle_freely(self.network, dead, least)
        self.shrunk += 1
        self.chosen = max(self.chosen, self.shrunk)
        removed = dict(NO_SHRINK) if keep is None else self._remove(keep, dead)
        for key in ("fell", "pressed", "cut"):
            self.removed[key] += removed[key]
        self.removed["moved_deg"] = max(self.removed["moved_deg"], removed["moved_deg"])

    def _remove(self, keep: dict[str, Tensor], dead: Survivors) -> dict[str, float]:
        """Removes units, recalibrates, and reports."""
        pressed = {} if self.losers is None else self.losers.keep
        counts = {"fell": 0, "pressed": 0, "cut": 0}
        for name, stays in keep.items():
            gone, under = ~stays, dead[name].cpu()
            chosen = ~pressed[name].cpu() if name in pressed else torch.zeros_like(gone)
            counts["fell"] += int((gone & under & ~chosen).sum())
            counts["pressed"] += int((gone & under & chosen).sum())
            counts["cut"] += int((gone & ~under).sum())
        if not any(counts.values()):
            self.losers = None
            return dict(NO_SHRINK)
        self._note_histogram(keep)
        job = self.job
        job.world.copy_from_main(self.network.buffers())
        before = self._sample()
        on_device = {name: mask.to(job.device) for name, mask in keep.items()}
        report: ShrinkReport = remove(self.network, on_device, optimizer=self.optimizer, average=self.average)
        errors = torch.from_numpy(angular_error(self._sample(), before))
        total, count = job.world.sum(torch.tensor([float(errors.sum()), float(len(errors))])).tolist()
        self.losers, self.sensitivity = None, self.sensitivity.after_shrink(self.network, keep)
        # What was cut has lost its layout; a resumed run, placed anew, would compute with other strides.
        self._place(self.network)
        self.average.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._recalibrate(self.network)
        job.say(
            f"shrink: {report.units} units and {report.macs_saved / 1e6:.2f} M MACs gone; {counts['fell']} fell by themselves, "
            f"{counts['pressed']} were pressed to zero, {counts['cut']} cut only to keep the schedule; output moved by {total / count:.4f} degrees"
        )
        return counts | {"moved_deg": total / count}

    def _recalibrate(self, network: torch.nn.Module) -> None:
        """BatchNorm statistics over batches of training images that no epoch of training sees in this order."""
        batches = self.loader.epoch(self.recipe.epochs + self.clock.epoch)
        recalibrate(network, itertools.islice(batches, self.recipe.recalibration), world=self.job.world)

    def _sample(self) -> Any:
        """Predictions of the live network on this process's share of a batch of validation images."""
        loader = self.job.loader("val", EVALUATION_BATCH, train=False)
        return predict(self.network, itertools.islice(loader.epoch(0), 1))

    def _note_histogram(self, keep: Survivors) -> None:
        """How importance factors are distributed just before a shrink, those that go and those that stay."""
        values = {group.name: group.alpha.detach().abs().cpu() for group in unit_groups(self.network)}
        counts: dict[str, Any] = {"epoch": self.clock.epoch}
        for word, stay in (("removed", False), ("kept", True)):
            chosen = torch.cat([v[keep[name] == stay] for name, v in values.items()] or [torch.zeros(0)])
            counts[word] = torch.histc(chosen.clamp(0, 1.25), BINS, 0, 1.25).int().tolist()
        self.histograms.append(counts)

    def _keep_member(self) -> None:
        """Keeps the network of a budget among several that was reached, with what it has learned since."""
        reached = [self.schedule.arrives(step) for step in self.schedule.shrinks[: self.shrunk]]
        legs = [leg for leg in reached if leg is not None]
        if len(self.plan.waypoints) < 2 or len(legs) <= len(self.family):
            return
        leg = legs[-1]
        if self.recipe.average:
            self._recalibrate(self.average.module)
        error = self.job.validate(self.average.module)  # type: ignore[arg-type]
        subnet, label = freeze(self.average.module).cpu().eval(), self.plan.labels[leg].replace("%", "pc")
        self.job.run.write_network(subnet, f"family/{label}")
        self.family.append(
            {
                "name": label,
                "target_macs": int(self.plan.waypoints[leg][0]),
                "macs": count_macs(subnet, subnet.input_size),
                "params": count_params(subnet),
                "val_error_deg": error,
                "epoch": self.clock.epoch,
            }
        )

    def _warn_of_emptiness(self) -> None:
        """Says where lambda left no unit at all, which is legal but hardly meant."""
        if not unit_groups(self.network):
            self.job.say(
                f"warning: no unit survived lambda {self.recipe.penalty_weight:g}; every block is its residual path. "
                "A smaller --lambda keeps some"
            )
