"""Pruning with training between: weights, channels or layers leave in rounds, and what is left trains on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gazenas.compression.channels import ComparatorCut, RankingSample, SubnetCut
from gazenas.compression.layers import end_at
from gazenas.compression.weights import Masks, apply_masks, prunable_weights, weight_masks, weight_record
from gazenas.counting import count_macs, count_params
from gazenas.data.loader import Batch
from gazenas.errors import InputError
from gazenas.models.baselines import Baseline, BaselineSpec
from gazenas.models.weights import weights_hash
from gazenas.models.zoo import GazeModel, build_described
from gazenas.search.recalibration import recalibrate
from gazenas.search.targets import Targets
from gazenas.space.architecture import FORMAT, Architecture
from gazenas.training.distillation import Teacher
from gazenas.training.finetuning import FinetuneRecipe, Finetuning
from gazenas.training.job import Job
from gazenas.training.processes import World
from gazenas.training.recipe import below_zero, not_above_zero, refuse
from gazenas.training.schedules import LearningRate


class Cut(Protocol):
    """A way to make a network smaller, round by round."""

    def cut(self, network: GazeModel, number: int, sample: RankingSample) -> GazeModel:
        """The network after a round, from 1; the same object where its structure stays."""
        ...

    def hold(self, network: nn.Module) -> None:
        """Undoes what a step of the optimizer brought back."""
        ...

    def story(self) -> str:
        """What is asked for, in words."""
        ...


@dataclass(frozen=True)
class PruneTarget:
    """What is to be left.

    Attributes:
        amount: share of weights that go.
        threshold: absolute values of weights at or below which they go.
        scope: how weights of different layers are compared.
        targets: budgets that channels leave under, and the number of channels that leave together.
        importance: what ranks channels.
        until: the last layer.
    """

    amount: float = 0.0
    threshold: float = 0.0
    scope: str = "global"
    targets: Targets = field(default_factory=Targets)
    importance: str = "taylor"
    until: str = ""


@dataclass(frozen=True)
class PruneRecipe(FinetuneRecipe):
    """How a pruned network trains on.

    Attributes:
        rounds: in how many rounds weights or channels leave, with equal training between; 1 removes all at once, before
            the first step.
        prune_until: share of the run over which the rounds are spread.
        sensitivity: batches of training images by which channels are ranked.
        recalibration: batches that re-estimate BatchNorm statistics after a round; 0 leaves them.
    """

    rounds: int = 1
    prune_until: float = 0.5
    sensitivity: int = 20
    recalibration: int = 10

    def learning_rate(self, epoch_steps: int) -> LearningRate:
        """As every training's; without epochs nobody asks for it."""
        recipe = self if self.epochs else replace(self, epochs=1)
        return super(PruneRecipe, recipe).learning_rate(epoch_steps)

    def check(self) -> None:
        """Raises InputError where a value is out of range, all at once; no epochs at all are allowed."""
        faults = [
            *not_above_zero(self, "rounds", "sensitivity"),
            *below_zero(self, "recalibration", "epochs"),
        ]
        if not 0 < self.prune_until <= 1:
            faults.append(f"prune_until: expected more than 0 and at most 1, found {self.prune_until}")
        if not self.epochs and self.rounds > 1:
            faults.append(f"rounds: expected 1 without epochs of training between, found {self.rounds}")
        faults += [fault for fault in self.faults() if self.epochs or not fault.startswith("epochs:")]
        refuse(faults)
        if self.epochs:
            super().check()


class WeightCut:
    """Sets single weights to zero, the share growing as a cubic of the rounds (Zhu and Gupta, 2017)."""

    def __init__(self, network: GazeModel, target: PruneTarget, rounds: int) -> None:
        self.target, self.rounds = target, rounds
        self.masks: Masks = {}
        weight_masks(network, scope=target.scope, amount=target.amount, threshold=target.threshold)  # refuses

    def cut(self, network: GazeModel, number: int, sample: RankingSample) -> GazeModel:
        """In place."""
        share = 1 - (1 - number / self.rounds) ** 3
        amount, threshold = share * self.target.amount, share * self.target.threshold
        self.masks = weight_masks(network, scope=self.target.scope, amount=amount, threshold=threshold)
        apply_masks(network, self.masks)
        return network

    def hold(self, network: nn.Module) -> None:
        """What is zero stays so; a run that is gone on with takes it from the zeros that it finds."""
        if not self.masks:
            self.masks = {name: weight != 0 for name, weight in prunable_weights(network).items()}
        apply_masks(network, self.masks)

    def story(self) -> str:
        """The share or the threshold."""
        asked = f"{self.target.amount:.0%}" if self.target.amount else f"those at or below {self.target.threshold:g}"
        return f"{asked} of the weights to zero; a dense file does not shrink by it"


class LayerCut:
    """Ends a network at a layer."""

    def __init__(self, network: GazeModel, target: PruneTarget, rounds: int) -> None:
        self.until = target.until
        if rounds > 1:
            raise InputError(f"rounds: expected 1 with --kind layers, found {rounds}")
        end_at(network, self.until)  # refuses

    def cut(self, network: GazeModel, number: int, sample: RankingSample) -> GazeModel:
        """A copy up to the layer."""
        return end_at(network, self.until)

    def hold(self, network: nn.Module) -> None:
        """Nothing comes back."""

    def story(self) -> str:
        """The layer."""
        return f"layers until {self.until}"


def channel_cut(network: GazeModel, target: PruneTarget, rounds: int, world: World) -> Cut:
    """By what kind of network it is."""
    kind = ComparatorCut if isinstance(network, Baseline) else SubnetCut
    return kind(network, target.targets, target.importance, rounds, world)  # type: ignore[arg-type]


# By name, from a trained network, what is to be left, rounds and processes.
PRUNINGS: dict[str, Callable[[GazeModel, PruneTarget, int, World], Cut]] = {
    "weights": lambda network, target, rounds, world: WeightCut(network, target, rounds),
    "channels": channel_cut,
    "layers": lambda network, target, rounds, world: LayerCut(network, target, rounds),
}


class Pruning(Finetuning):
    """A pruning in progress: a fine-tuning whose network becomes smaller; an epoch before the last round is never kept.

    Args:
        recipe: how to train.
        network: trained; with the weights to begin with.
        kind: a key of ``PRUNINGS``.
        target: what is to be left.
        job: data, run folder, device.
        teacher: a network that this one also learns from, or none.

    Raises:
        InputError: where the recipe, the data, the target or the teacher does not fit, before anything is trained.
    """

    recipe: PruneRecipe

    def __init__(
        self,
        recipe: PruneRecipe,
        network: GazeModel,
        kind: str,
        target: PruneTarget,
        job: Job,
        teacher: Teacher | None = None,
    ) -> None:
        if kind not in PRUNINGS:
            raise InputError(f"--kind: expected one of {', '.join(PRUNINGS)}, found {kind!r}")
        super().__init__(recipe, network, job, teacher)
        self.kind, self.way = kind, PRUNINGS[kind](network, target, recipe.rounds, job.world)
        self.rounds = 0  # done
        self.before = {
            "macs": count_macs(network, network.input_size),
            "params": count_params(network),
            "weights": weights_hash(network),
            "fingerprint": network.architecture().fingerprint(),
        }

    def run(self) -> GazeModel:
        """As every training; without epochs the network is cut and kept as it is."""
        if not self.recipe.epochs:
            self.restructure()
            self.keep_present()
        return super().run()

    def restructure(self) -> None:
        """The rounds that are due; those at the end of an epoch come with the next one, so that none is validated
        untrained."""
        if self.recipe.epochs and self.clock.epoch_steps == len(self.loader):
            return
        while self.rounds < self.recipe.rounds and self.clock.steps >= self._due():
            self.rounds += 1
            self._cut()

    def next_change(self) -> int:
        """The next round."""
        return self._due() if self.rounds < self.recipe.rounds else super().next_change()

    def _due(self) -> int:
        """The step before which the next round comes."""
        total = self.recipe.epochs * len(self.loader)
        return round(self.rounds / self.recipe.rounds * self.recipe.prune_until * total)

    def _cut(self) -> None:
        """One round: fewer of whatever leaves, BatchNorm statistics of what is left, and training begins anew."""
        smaller = self.way.cut(self.network, self.rounds, RankingSample(self._batches, self.task.loss, self.job.world))
        if smaller is not self.network:
            self.adopt(smaller.train())
            self.learning_rate.apply(self.optimizer)
        if self.recipe.recalibration and any(isinstance(each, _BatchNorm) for each in self.network.modules()):
            recalibrate(self.network, self._sample(self.recipe.recalibration), world=self.job.world)
        self.way.hold(self.average.module)
        self.best, self.first, self.quantization = {}, self.clock.epoch, self.find_ranges()
        macs, params = count_macs(self.network, self.network.input_size), count_params(self.network)
        self.job.say(
            f"round {self.rounds} of {self.recipe.rounds}: {macs / 1e6:.2f} M MACs, {params:,} parameters are left"
        )

    def _batches(self) -> Iterator[Batch]:
        return self._sample(self.recipe.sensitivity)

    def _sample(self, count: int) -> Iterator[Batch]:
        """Training images that no epoch of training sees in this order."""
        return itertools.islice(self.loader.epoch(self.recipe.epochs + self.clock.epoch), count)

    def after_step(self) -> None:
        """What has left stays away."""
        self.way.hold(self.network)
        super().after_step()
        if self.average.module is not self.network:
            self.way.hold(self.average.module)

    def is_done(self) -> bool:
        """Whether ``patience`` ran out, once the last round has come."""
        return self.rounds == self.recipe.rounds and super().is_done()

    def row(self, losses: Mapping[str, float], error: float) -> dict[str, Any]:
        """MACs and parameters that are left besides."""
        sizes = {"macs": count_macs(self.network, self.network.input_size), "params": count_params(self.network)}
        return super().row(losses, error) | sizes

    def summary(self) -> dict[str, Any]:
        """What was asked for, and what the network was before."""
        pruned = {"kind": self.kind, "asked": self.way.story(), "rounds": self.rounds, "before": self.before}
        return super().summary() | {"pruned": pruned | weight_record(self.average.module)}

    def state(self) -> dict[str, Any]:
        """The structure, and how many rounds are done, besides."""
        return super().state() | {
            "arch": {"format": FORMAT, **self.network.architecture().to_dict()},
            "rounds": self.rounds,
            "first": self.first,
            "began": self.before["weights"],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint's state.

        Raises:
            InputError: where it began with another network.
        """
        if state["began"] != self.before["weights"]:
            raise InputError(
                f"--resume: the run began with weights {state['began']}, found {self.before['weights']}: was the "
                f"network trained again? Use another --out"
            )
        values = state["arch"]
        read = BaselineSpec.from_dict if "baseline" in values else Architecture.from_dict
        self.adopt(build_described(read(values, "checkpoint"), "checkpoint").train())
        self.rounds, self.first = state["rounds"], state["first"]
        super().load_state(state)
        self.way.hold(self.network)
