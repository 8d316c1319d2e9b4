"""The search itself: train with importance factors, press the losers, shrink, recalibrate, go on, freeze."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gazenas.costs import CostMetric
from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.models.build import build_network
from gazenas.models.freezing import freeze
from gazenas.models.network import Network, as_network
from gazenas.models.zoo import GazeModel, build_supernet, load_model
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
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task
from gazenas.training.distillation import Teacher
from gazenas.training.job import Job
from gazenas.training.loop import Losses, predict
from gazenas.training.trainer import Trainer

COUNTS = ("fell", "pressed", "cut")  # of units that left, by reason
FOUND = "found"
BINS = 25  # of the histogram of importance factors, from 0 to 1.25


class Search(Trainer):
    """A search in progress.

    Args:
        recipe: how to train.
        space: what to search.
        targets: budgets to arrive at; without any, lambda stays as the recipe has it and decides how much goes.
        job: data, run folder, device, processes.
        control: ``found`` searches. Any other name trains one architecture with the same recipe and steps, and removes
            nothing: ``given``, or one that this kind of ``gazenas.search.random_baseline`` draws under the budgets.
        given: an architecture to train from new weights in place of a search.
        task: what the network predicts.
        teacher: a network that this one also learns from, or none.

    Raises:
        InputError: where the recipe, a budget, the teacher or the data does not fit, before anything is trained.
    """

    recipe: SearchRecipe
    network: Network

    def __init__(
        self,
        recipe: SearchRecipe,
        space: SearchSpace,
        targets: Targets,
        job: Job,
        control: str = FOUND,
        given: Architecture | None = None,
        task: Task = GAZE,
        teacher: Teacher | None = None,
    ) -> None:
        recipe.check()
        job.folder.expect_size(space.input_size, f"search space {space.name!r}")
        if recipe.schedule == "plateau" and "val" not in job.folder.splits:
            raise InputError("schedule: expected another where nobody is held out to validate, found 'plateau'")
        own = recipe if control == FOUND else replace(recipe, penalty_weight=0.0)
        super().__init__(own, job, task, channels=task.channels, teacher=teacher)
        self.space, self.control = space, control
        self.moved = task.key("moved")  # by how much removing units moves the output
        network = self.place(build_supernet(space, task=task.name))
        self.full_macs = count_macs(network, space.input_size)
        self.plan: Plan = make_plan(targets, network, job.world)
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
                remove(network, self.controller.draw(network, control, job.seed))
            else:
                network = build_network(given, importance=True)
            self.controller.schedule = self.schedule = replace(self.schedule, waypoints=(), shrinks=())
        elif self.plan.waypoints:
            self._begin_narrow(network)
        self.cost: CostMetric = quantity_of(recipe.cost, targets.tables, space, job.world).amount
        self.adopt(network)
        self.sensitivity = Sensitivity(self.network)
        self.losers: Losers | None = None
        self.shrunk = self.chosen = 0  # shrinks that were done, and that losers were chosen for
        self.removed = self._no_shrink()  # in this epoch
        self.penalty = Penalty(self.network, self.cost)
        self.penalty_gradients: tuple[Tensor, ...] = ()  # of the present step, where the penalty acts by gradient
        self.histograms: list[dict[str, Any]] = []
        self.family: list[dict[str, Any]] = []

    def _begin_narrow(self, network: Network) -> None:
        """Thins the fresh supernet to a few times its budget, and sets what must stay of it."""
        keep = self.controller.narrow(network, self.recipe.start_at) if self.recipe.start_at else None
        if keep is not None:
            remove(network, keep)
            begun = tuple(resource.total(network, network.widths()) for resource in self.plan.resources)
            self.controller.schedule = self.schedule = replace(self.schedule, full=begun)
        self.controller.set_floors(network, self.recipe.keep_stream, self.recipe.keep_block)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Weights by the recipe, importance factors with a rate of their own."""
        recipe = self.recipe
        # Adam moves a factor by about its learning rate a step: a useless one reaches 0 in a third of the search.
        derived = min(3 / (recipe.epochs * len(self.loader)), 0.02)
        return recipe.make_optimizer(
            self.network,
            self.network.importances(),
            recipe.importance_lr or derived,
            follows=recipe.importance_schedule == "weights",
        )

    def run(self) -> GazeModel:
        """As every training, once it is said how well a latency table fits."""
        for resource in self.plan.resources:
            if resource.checks:
                self.job.say(
                    f"{resource.quantity.name}: sums over parts are {min(resource.checks):.2f} to "
                    f"{max(resource.checks):.2f} times "
                    f"the {resource.unit} of {len(resource.checks)} networks measured whole"
                )
        return super().run()

    def begin_epoch(self) -> None:
        """Nothing was removed in it yet; fixes the scale of importance factors where the recipe pins it."""
        self.removed = self._no_shrink()
        if self.recipe.importance_scale == "pinned":
            for network in {self.network, as_network(self.average)}:
                pin_scale(network)

    def restructure(self) -> None:
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
        removed = self._no_shrink() if keep is None else self._remove(keep, dead)
        for key in COUNTS:
            self.removed[key] += removed[key]
        self.removed[self.moved] = max(self.removed[self.moved], removed[self.moved])

    def next_change(self) -> int:
        """The next beginning or end of an interval at whose end units leave."""
        interval = self.schedule.next_interval(self.shrunk)
        if interval is None:
            return super().next_change()
        return interval[0] if self.clock.steps < interval[0] else interval[1]

    def train_steps(self, count: int) -> None:
        """With one structure of the network, and so with one penalty."""
        self._choose_losers()
        self.penalty = Penalty(self.network, self.cost)
        self.shown = {"MMACs": count_macs(self.network, self.space.input_size) / 1e6}
        super().train_steps(count)

    def _choose_losers(self) -> None:
        """Where an interval begins at whose end units leave, picks them, so that they are pressed to zero until
        then."""
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
        """Presses importance factors besides."""
        self.sensitivity.update(self.penalty_gradients)
        if self.recipe.regularizer == "proximal" and self.penalty_weight():
            proximal_step(self.penalty.alphas, self.penalty.parts, self.penalty_weight(), self.optimizer)
        interval = self.schedule.next_interval(self.shrunk)
        if self.losers is not None and interval is not None:
            self.losers.press((self.clock.steps - interval[0]) / (interval[1] - interval[0]))
        super().after_step()

    def penalty_weight(self) -> float:
        """Lambda at the present step: it rises at first, and ends where the last budget is reached."""
        if self.plan.waypoints and self.schedule.shrinks and self.shrunk == len(self.schedule.shrinks):
            return 0.0
        rise = self.recipe.penalty_warm_up * self.recipe.epochs * len(self.loader)
        return self.recipe.penalty_weight * min(1.0, self.clock.steps / max(rise, 1))

    def validate(self) -> float:
        """The error of the average, whose BatchNorm statistics are estimated anew."""
        if self.recipe.average:
            # Copied importance factors and averaged weights were never trained together: their BatchNorms must be told.
            self._recalibrate(self.average.module)
        return super().validate()

    def row(self, losses: Mapping[str, float], error: float) -> dict[str, Any]:
        """Losses, rates, the size that is left, the error, and how many units left for which reason."""
        return {
            **self.loss_entries(losses),
            "penalty": losses["penalty"],
            "lambda": self.penalty_weight(),
            "lr": self.learning_rate.scheduled,
            "macs": count_macs(self.network, self.space.input_size),
            self.task.key("val_error"): error if error == error else "",
            **self.removed,
        }

    def story(self, losses: Mapping[str, float]) -> str:
        """The loss of the task, and the size that is left."""
        macs = count_macs(self.network, self.space.input_size)
        return f"{self.loss_story(losses)}, {macs / 1e6:.2f} M MACs"

    def finish(self) -> Network:
        """The frozen network."""
        self._keep_member()
        if not unit_groups(self.network):
            self.job.say(
                f"warning: no unit survived lambda {self.recipe.penalty_weight:g}; every block is its residual path. "
                "A smaller --lambda keeps some"
            )
        return freeze(self.average.module).eval()

    def summary(self) -> dict[str, Any]:
        """Budgets, what was reached, and the family."""
        targets = self.plan.targets
        return {
            "control": self.control,
            "supernet_macs": self.full_macs,
            "target_macs": targets.get("macs"),
            "targets": targets,
            "amounts": self.amounts(),
            "lambda": self.penalty_weight(),
            "family": self.measured_family(),
        }

    def amounts(self) -> dict[str, float]:
        """Of each resource with a budget, what the network takes now; measured, not estimated, where the quantity can
        be."""
        widths = self.network.widths()
        return {r.name: self.controller.amount(self.network, r, widths) for r in self.plan.resources}

    def measured_family(self) -> list[dict[str, Any]]:
        """The networks frozen on the way down, with their errors on the test people where those are labeled."""
        for member in self.family:
            key = self.task.key("test_error")
            if key not in member:
                network = load_model(self.job.run.path / "family" / member["name"])
                member[key] = self.measure(network.to(self.job.device), "test")
        return self.family

    def state(self) -> dict[str, Any]:
        """The structure, and what is known of units, besides."""
        return super().state() | {
            "arch": self.network.architecture().to_dict(),
            "sensitivity": self.sensitivity.state(),
            "losers": None if self.losers is None else self.losers.state(),
            "shrinks": {"done": self.shrunk, "chosen": self.chosen, "removed": self.removed},
            "histograms": self.histograms,
            "family": self.family,
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
        self.adopt(build_network(arch, importance=True))
        super().load_state(state)
        self.sensitivity = Sensitivity(self.network)
        self.sensitivity.load_state(state["sensitivity"])
        self.losers = None if state["losers"] is None else Losers.from_state(self.network, state["losers"])
        self.shrunk, self.chosen, self.removed = (state["shrinks"][key] for key in ("done", "chosen", "removed"))
        self.histograms, self.family = state["histograms"], state["family"]

    def _no_shrink(self) -> dict[str, float]:
        """How many units left for which reason, and how far that moved the output: nothing yet."""
        return {**dict.fromkeys(COUNTS, 0), self.moved: 0.0}

    def _remove(self, keep: dict[str, Tensor], dead: Survivors) -> dict[str, float]:
        """Removes units, recalibrates, and reports."""
        pressed = {} if self.losers is None else self.losers.keep
        counts = dict.fromkeys(COUNTS, 0)
        for name, stays in keep.items():
            gone, under = ~stays, dead[name].cpu()
            chosen = ~pressed[name].cpu() if name in pressed else torch.zeros_like(gone)
            counts["fell"] += int((gone & under & ~chosen).sum())
            counts["pressed"] += int((gone & under & chosen).sum())
            counts["cut"] += int((gone & ~under).sum())
        self._note_histogram(keep)
        if not any(counts.values()):
            self.losers = None
            return self._no_shrink()
        job = self.job
        job.world.copy_from_main(self.network.buffers())
        shown = "val" if "val" in job.folder.splits else "train"
        sample = list(itertools.islice(self.batches(shown).epoch(0), 1))
        before = predict(self.network, sample)
        on_device = {name: mask.to(job.device) for name, mask in keep.items()}
        report: ShrinkReport = remove(self.network, on_device, optimizer=self.optimizer, average=self.average)
        errors = torch.from_numpy(self.task.error(predict(self.network, sample), before))
        total, count = job.world.sum(torch.tensor([float(errors.sum()), float(len(errors))])).tolist()
        self.losers, self.sensitivity = None, self.sensitivity.after_shrink(self.network, keep)
        # What was cut has lost its layout; a resumed run, placed anew, would compute with other strides.
        self.network, self.average.module = self.place(self.network), self.place(self.average.module)
        self._recalibrate(self.network)
        job.say(
            f"shrink: {report.units} units and {report.macs_saved / 1e6:.2f} M MACs gone; {counts['fell']} fell by "
            f"themselves, "
            f"{counts['pressed']} were pressed to zero, {counts['cut']} cut only to keep the schedule; output moved "
            f"by {total / count:.4f} {self.task.error_word}"
        )
        return counts | {self.moved: total / count}

    def _recalibrate(self, network: nn.Module) -> None:
        """BatchNorm statistics over batches of training images that no epoch of training sees in this order."""
        batches = self.loader.epoch(self.recipe.epochs + self.clock.epoch)
        recalibrate(network, itertools.islice(batches, self.recipe.recalibration), world=self.job.world)

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
        error = self.measure(self.average.module, "val")  # type: ignore[arg-type]
        subnet, label = freeze(self.average.module).cpu().eval(), self.plan.labels[leg].replace("%", "pc")
        self.job.run.write_network(subnet, f"family/{label}")
        self.family.append(
            {
                "name": label,
                "target_macs": int(self.plan.waypoints[leg][0]),
                "macs": count_macs(subnet, subnet.input_size),
                "params": count_params(subnet),
                self.task.key("val_error"): error,
                "epoch": self.clock.epoch,
            }
        )
