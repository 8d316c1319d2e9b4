"""The search itself: train with importance factors, press the losers, shrink, recalibrate, go on, freeze."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gazenas.architecture import Architecture, InputError, SearchSpace
from gazenas.averaging import WeightAverage
from gazenas.counting import count_macs, count_params
from gazenas.engine import Losses, optimizer_groups, predict
from gazenas.gaze import angular_error
from gazenas.models.builders import build_network, build_supernet, load_model
from gazenas.models.network import Network
from gazenas.search.aims import CALIBRATIONS, TOLERANCE, Aims, Plan, architecture_with, exported_bytes, make_plan
from gazenas.search.budget import NetworkWidths, macs_resource, widths_of
from gazenas.search.chance import chance_worth
from gazenas.search.control import Losers, Schedule, plan_schedule
from gazenas.search.costs import CostMetric
from gazenas.search.costs.latency import LatencyTable, latency
from gazenas.search.cut import cut, unit_costs
from gazenas.search.freeze import freeze
from gazenas.search.importance import IMPORTANCES
from gazenas.search.penalty import Penalty
from gazenas.search.pressure import proximal_step
from gazenas.search.recalibrate import recalibrate
from gazenas.search.recipe import SearchRecipe
from gazenas.search.sensitivity import Sensitivity
from gazenas.search.shrink import ShrinkReport, remove
from gazenas.search.units import as_network, unit_groups
from gazenas.training import EVALUATION_BATCH, Clock, Job

WARM_UP_STEPS = 50  # over which the step size rises
NO_SHRINK = {"fell": 0, "pressed": 0, "cut": 0, "moved_deg": 0.0}
FOUND = "found"
BINS = 25  # of the histogram of importance factors, from 0 to 1.25
Keep = Mapping[str, Tensor]


class Search:
    """A search in progress: everything that a checkpoint holds.

    Args:
        recipe: how to train.
        space: what to search.
        aims: budgets to arrive at; without any, lambda stays as the recipe has it and decides how much goes.
        job: data, run folder, device, processes.
        control: ``found`` searches; a kind of ``gazenas.search.chance`` instead trains an architecture drawn by chance under
            the same budgets, of which there must be one, with the same recipe and steps, and removes nothing.

    Raises:
        InputError: where the recipe, a budget or the data does not fit, before anything is trained.
    """

    def __init__(self, recipe: SearchRecipe, space: SearchSpace, aims: Aims, job: Job, control: str = FOUND) -> None:
        recipe.check()
        job.folder.expect_size(space.input_size, f"search space {space.name!r}")
        self.recipe = recipe if control == FOUND else replace(recipe, penalty_weight=0.0)
        self.space, self.job, self.control = space, job, control
        self.calibrations: list[tuple[int, float]] = []
        torch.manual_seed(job.seed)
        self.loader = job.loader("train", recipe.batch_size, train=True)
        self._place(build_supernet(space))
        self.full_macs = count_macs(self.network, space.input_size)
        self.plan: Plan = make_plan(aims, self.network)
        self.schedule: Schedule = plan_schedule(self.plan.full, self.plan.waypoints, recipe.epochs, recipe.shrink_every)
        if control != FOUND:
            self._thin_by_chance(control)
        self.cost: str | CostMetric = recipe.cost
        if recipe.cost == "latency" and aims.latency_table:
            self.cost = partial(latency, table=LatencyTable.load(Path(aims.latency_table)))
        self.average = WeightAverage(self.network, limit=recipe.average)
        self.optimizer: torch.optim.Optimizer = self._optimizer()
        self.sensitivity = Sensitivity(self.network)
        self.losers: Losers | None = None
        self.penalty = Penalty(self.network, self.cost)
        self.clock = Clock()
        self.histograms: list[dict[str, Any]] = []
        self.family: list[dict[str, Any]] = []

    def run(self) -> Network:
        """Trains what is left, a checkpoint after each epoch; gives the frozen network, in eval mode."""
        while self.clock.epoch < self.recipe.epochs:
            self.train_epoch()
            self.job.end_epoch(self)
        subnet = freeze(self.average.module).cpu().eval()
        self._warn_of_emptiness()
        self.job.run.write_network(subnet)
        return subnet.to(self.job.device)

    def train_epoch(self) -> None:
        """What is left of an epoch, the shrink at its end where one is due, and validation of the average."""
        recipe, begun, clock, done = self.recipe, time.monotonic(), self.clock, self.clock.tally.steps
        if not done:
            self._begin_interval()
        self.penalty = Penalty(self.network, self.cost)
        self.job.progress.epoch(clock.epoch, recipe.epochs, len(self.loader))
        self._set_step_size()
        macs = count_macs(self.network, self.space.input_size)
        losses = self.job.train_epoch(self, self.job.world.wrap(self.network), {"MMACs": macs / 1e6})
        trained = time.monotonic() - begun
        removed = self._shrink()
        # Copied importance factors and averaged weights were never trained together: their BatchNorms must be told.
        self._recalibrate(self.average.module)
        error = self.job.validate(self.average.module).mean  # type: ignore[arg-type]
        self._freeze_member(error)
        row = {
            "epoch": clock.epoch,
            "gaze_loss": losses["gaze"],
            "penalty": losses["penalty"],
            "lambda": self.penalty_weight(),
            "lr": self.optimizer.param_groups[0]["lr"],
            "macs": count_macs(self.network, self.space.input_size),
            "val_error_deg": error,
            **removed,
            "seconds": round(time.monotonic() - begun, 2),
            "images_per_second": round((len(self.loader) - done) * recipe.batch_size / trained, 1),
        }
        self.job.say(
            f"epoch {clock.epoch + 1}/{recipe.epochs}: gaze loss {losses['gaze']:.4f} rad, "
            f"{row['macs'] / 1e6:.2f} M MACs, validation error {error:.2f} degrees"
        )
        clock.end_epoch(row)

    def extra_losses(self) -> Losses:
        """Lambda times the penalty at the present step; with a proximal step, without a gradient."""
        penalty = self.penalty_weight() * self.penalty()
        return {"penalty": penalty if self.recipe.pressure == "l1" else penalty.detach()}

    def after_step(self) -> None:
        """Presses importance factors, moves the average."""
        self.sensitivity.update()
        if self.recipe.pressure == "proximal" and self.penalty_weight():
            proximal_step(self.penalty.alphas, self.penalty.parts, self.penalty_weight(), self.optimizer)
        if self.losers is not None:
            begin, end = self._interval()
            self.losers.press((self.clock.steps - begin) / (end - begin))
        self.average.update(self.network)
        self._set_step_size()

    def penalty_weight(self) -> float:
        """Lambda at the present step: it rises at first, and ends where the last budget is reached."""
        if self.schedule.shrinks and self.plan.waypoints and self.clock.epoch > self.schedule.shrinks[-1]:
            return 0.0
        rise = self.recipe.penalty_warm_up * self.recipe.epochs * len(self.loader)
        return self.recipe.penalty_weight * min(1.0, self.clock.steps / max(rise, 1))

    def amounts(self) -> dict[str, float]:
        """Of each resource with a budget, what the network takes now; bytes as they were last calibrated."""
        return {r.name: r.total(self.network, widths_of(self.network)) for r in self.plan.resources}

    def measured_family(self) -> list[dict[str, Any]]:
        """The networks frozen on the way down, with their errors on the test people where those are labelled."""
        for member in self.family:
            if "test_error_deg" not in member:
                network = load_model(self.job.run.path / "family" / member["name"])
                labelled = "test" in self.job.folder.splits and self.job.split("test").gaze is not None
                member["test_error_deg"] = (
                    self.job.validate(network.to(self.job.device), "test").mean if labelled else None
                )
        return self.family

    def state(self) -> dict[str, Any]:
        """Everything needed to go on to the same bytes."""
        return {
            "clock": self.clock.state(),
            "world": self.job.world.size,
            "arch": self.network.architecture().to_dict(),
            "network": self.network.state_dict(),
            "average": self.average.module.state_dict(),
            "average_steps": self.average.steps,
            "optimizer": self.optimizer.state_dict(),
            "sensitivity": self.sensitivity.state(),
            "losers": None if self.losers is None else self.losers.state(),
            "histograms": self.histograms,
            "family": self.family,
            "calibrations": self.calibrations,
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
        self.sensitivity = Sensitivity(self.network)
        self.sensitivity.load_state(state["sensitivity"])
        self.losers = None if state["losers"] is None else Losers.from_state(self.network, state["losers"])
        self.clock = Clock.from_state(state["clock"])
        self.histograms, self.family = state["histograms"], state["family"]
        known = len(self.calibrations)  # a drawn architecture has made its own again
        for index, factor in state["calibrations"][known:]:
            self._calibrate(index, factor)
        torch.set_rng_state(state["random"])

    def _place(self, network: Network) -> None:
        self.network = network.to(self.job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _optimizer(self) -> torch.optim.Adam:
        recipe = self.recipe
        # Adam moves a factor by about its step size a step: a useless one reaches 0 in a third of the search.
        derived = min(3 / (recipe.epochs * len(self.loader)), 0.02)
        groups = optimizer_groups(
            self.network, self.network.importances(), recipe.weight_decay, recipe.importance_lr or derived
        )
        return torch.optim.Adam(groups, lr=recipe.lr, betas=(0.9, 0.999), fused=True)

    def _set_step_size(self) -> None:
        lr = self.recipe.lr * self.recipe.decay ** (self.clock.epoch // self.recipe.decay_every)
        self.optimizer.param_groups[0]["lr"] = lr * min(1.0, (self.clock.steps + 1) / WARM_UP_STEPS)

    def _interval(self) -> tuple[int, int]:
        """First and last step of the interval that ends with the next shrink; empty ones have a step of their own."""
        length = len(self.loader)
        ends = [epoch for epoch in self.schedule.shrinks if epoch >= self.clock.epoch]
        if not ends:
            return self.clock.steps, self.clock.steps + 1
        earlier = [epoch for epoch in self.schedule.shrinks if epoch < self.clock.epoch]
        begin = earlier[-1] + 1 if earlier else max(0, ends[0] - self.recipe.shrink_every + 1)
        return begin * length, (ends[0] + 1) * length

    def _begin_interval(self) -> None:
        """Pins the scale of importance factors and, where an interval begins, picks the units that go at its end."""
        for network in (self.network, as_network(self.average)):
            for block in network.blocks().values():
                for operator in block.operators().values():
                    operator.pin()
        begin, end = self._interval()
        due = end // len(self.loader) - 1
        limits = self.schedule.remaining(due)
        if limits is not None and self.clock.steps == begin and due >= self.clock.epoch:
            self.losers = Losers(self.network, self._decide(limits, self.schedule.arrives(due) is not None))

    def _decide(self, limits: Sequence[float], arrives: bool, dead: Keep | None = None) -> dict[str, Tensor]:
        """What stays under ``limits``, decided by rank 0: units worth least for their cost go, ``dead`` ones first."""
        keep: dict[str, Tensor] = {}
        if self.job.world.main:
            groups = unit_groups(self.network)
            costs = unit_costs(self.network, groups, self.plan.resources)
            worth = IMPORTANCES[self.recipe.importance](self.network, self.sensitivity.means(), costs)
            for name, mask in (dead or {}).items():
                worth[name] = worth[name].masked_fill(mask, 0.0)
            keep = self._cut(worth, limits, arrives)
        decided: dict[str, Tensor] = self.job.world.take(keep)
        return decided

    def _thin_by_chance(self, control: str) -> None:
        """Makes the network one of the stated size that was drawn, not searched."""
        groups = unit_groups(self.network)
        worth = chance_worth(
            self.network, control, unit_costs(self.network, groups, self.plan.resources), self.job.seed
        )
        keep = self.job.world.take(self._cut(worth, self.plan.waypoints[-1], arrives=True))
        remove(self.network, keep)
        self._place(self.network)
        self.schedule = replace(self.schedule, waypoints=(), shrinks=())

    def _cut(self, worth: Keep, limits: Sequence[float], arrives: bool) -> dict[str, Tensor]:
        """What stays under ``limits``; where a size in bytes is arrived at, by exporting."""
        groups, names = unit_groups(self.network), [resource.name for resource in self.plan.resources]
        keep = cut(self.network, groups, worth, self.plan.resources, limits)
        return self._fit_file(names.index("size"), keep, worth, limits) if arrives and "size" in names else keep

    def _fit_file(self, index: int, keep: dict[str, Tensor], worth: Keep, limits: Sequence[float]) -> dict[str, Tensor]:
        """Cuts again with bytes a parameter measured by exporting what the last cut left, until the file fits."""
        target, groups = limits[index], unit_groups(self.network)
        best = keep
        for _ in range(CALIBRATIONS):
            widths = widths_after(self.network, keep)
            measured = exported_bytes(architecture_with(self.network, widths))
            if (1 - TOLERANCE) * target <= measured <= target:
                return keep
            self._calibrate(index, measured / self.plan.resources[index].total(self.network, widths))
            best = keep if measured <= target else best
            keep = cut(self.network, groups, worth, self.plan.resources, limits)
        return best

    def _calibrate(self, index: int, factor: float) -> None:
        """Corrects what a resource is thought to take."""
        resource = self.plan.resources[index]
        self.plan.resources[index] = resource.scaled(resource.name, factor)
        self.calibrations.append((index, factor))

    def _shrink(self) -> dict[str, float]:
        """Removes what is due at the end of this epoch; how many units by which reason, and how far the output moved."""
        groups, limits = unit_groups(self.network), self.schedule.remaining(self.clock.epoch)
        dead = {group.name: group.alpha.detach().abs() <= self.recipe.threshold for group in groups}
        if self.plan.resources and limits is None:
            return dict(NO_SHRINK)
        if limits is None:
            keep = self._free_shrink(dead)
        else:
            left = widths_after(self.network, {name: ~mask for name, mask in dead.items()})
            floors = [r.total(self.network, left) for r in self.plan.resources]
            waypoint = self.schedule.waypoint(self.clock.epoch)
            bounds = [min(m, max(f, w)) for m, f, w in zip(limits, floors, waypoint, strict=True)]
            keep = self._decide(bounds, self.schedule.arrives(self.clock.epoch) is not None, dead)
        return self._remove(keep, dead)

    def _free_shrink(self, dead: Keep) -> dict[str, Tensor]:
        """Without a budget: everything under the threshold, once enough MACs would go or the search ends."""
        resource, keep = macs_resource(self.network), {name: ~mask.cpu() for name, mask in dead.items()}
        saved = count_macs(self.network, self.space.input_size) - resource.total(
            self.network, widths_after(self.network, keep)
        )
        if saved < self.recipe.shrink_macs and self.clock.epoch + 1 < self.recipe.epochs:
            keep = {name: torch.ones_like(mask) for name, mask in keep.items()}
        kept: dict[str, Tensor] = self.job.world.take(keep)
        return kept

    def _remove(self, keep: dict[str, Tensor], dead: Keep) -> dict[str, float]:
        """Removes units, recalibrates, and reports."""
        pressed = {} if self.losers is None else self.losers.keep
        counts = {"fell": 0, "pressed": 0, "cut": 0}
        for name, stays in keep.items():
            gone, under = ~stays, dead[name].cpu()
            chosen = ~pressed[name].cpu() if name in pressed else torch.zeros_like(gone)
            counts["fell"] += int((gone & under & ~chosen).sum())
            counts["pressed"] += int((gone & under & chosen).sum())
            counts["cut"] += int((gone & ~under).sum())
        self._note_histogram(keep)
        if not any(counts.values()):
            self.losers = None
            return dict(NO_SHRINK)
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

    def _note_histogram(self, keep: Keep) -> None:
        """How importance factors are distributed just before a shrink, those that go and those that stay."""
        values = {group.name: group.alpha.detach().abs().cpu() for group in unit_groups(self.network)}
        counts: dict[str, Any] = {"epoch": self.clock.epoch}
        for word, stay in (("removed", False), ("kept", True)):
            chosen = torch.cat([v[keep[name] == stay] for name, v in values.items()] or [torch.zeros(0)])
            counts[word] = torch.histc(chosen.clamp(0, 1.25), BINS, 0, 1.25).int().tolist()
        self.histograms.append(counts)

    def _freeze_member(self, error: float) -> None:
        """Keeps the network where one of several budgets was reached."""
        leg = self.schedule.arrives(self.clock.epoch)
        if leg is None or len(self.plan.waypoints) == 1:
            return
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


def widths_after(network: Network, keep: Keep) -> NetworkWidths:
    """Units by block, operator and group once those not in ``keep`` are gone."""
    widths = widths_of(network)
    for group in unit_groups(network):
        block = group.name.removesuffix(f".{group.operator}.{group.group}")
        widths[block][group.operator][group.group] = int(keep[group.name].sum())
    return widths
