"""Channels of a trained network leave, round by round, until a budget is met.

A network of gazenas gets its importance factors back and goes through the search's own ranking and removal. A
comparator loses coupled channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gazenas.compression.gate import median_latencies
from gazenas.compression.removal import (
    CoupledChannels,
    Mask,
    Scores,
    magnitude_scores,
    norm_scale_scores,
    slope_products,
)
from gazenas.costs import budgets
from gazenas.costs.budget import parse_amount, show
from gazenas.costs.size import file_bytes
from gazenas.data.loader import Batch
from gazenas.errors import InputError
from gazenas.export.onnx import onnx_bytes
from gazenas.models.baselines import Baseline
from gazenas.models.freezing import freeze
from gazenas.models.network import Network
from gazenas.models.thawing import thaw
from gazenas.models.zoo import GazeModel
from gazenas.search.controller import Controller
from gazenas.search.importance.sensitivity import Sensitivity
from gazenas.search.schedule import Schedule
from gazenas.search.shrinking import remove
from gazenas.search.targets import Targets, make_plan
from gazenas.training.loop import eval_mode
from gazenas.training.processes import World

MEASUREMENTS = 8  # networks that are measured at most until bytes or milliseconds are met
AIM, CLOSE = 0.99, 0.98  # of a measured budget: what is tried next, and what is near enough
KEEP_STREAM, KEEP_BLOCK = 0.5, 0.25  # shares that stay where the budget can be met so
DRIVERS = {"macs": "macs", "params": "params", "size": "params", "ms": "macs"}  # what a budget is met by


@dataclass(frozen=True)
class RankingSample:
    """Training images by which channels are ranked.

    Attributes:
        batches: of the network's device.
        loss: the task's, a scalar from predictions and true values.
        world: the processes that decide together.
    """

    batches: Callable[[], Iterable[Batch]]
    loss: Callable[[Tensor, Tensor], Tensor]
    world: World

    def slopes(self, network: nn.Module, after: Callable[[], None]) -> None:
        """Calls ``after`` with the loss's gradients in place, once a batch; eval mode, and no gradient stays."""
        with eval_mode(network):
            for batch in self.batches():
                network.zero_grad(set_to_none=True)
                loss = self.loss(network(batch.images, **batch.more).float(), batch.labels)
                loss.backward()  # type: ignore[no-untyped-call]
                after()
        network.zero_grad(set_to_none=True)


def taylor_scores(channels: CoupledChannels, sample: RankingSample) -> Scores:
    """Root mean square over batches of what the loss would change by without each class."""
    total, count = np.zeros(len(channels.fixed)), 0

    def add() -> None:
        nonlocal total, count
        total, count = total + slope_products(channels) ** 2, count + 1

    for parameter in channels.network.parameters():
        parameter.requires_grad_(True)
    sample.slopes(channels.network, add)
    return np.sqrt(total / max(count, 1))


# By name: scores of a comparator's classes of channels.
CHANNEL_SCORES: dict[str, Callable[[CoupledChannels, RankingSample], Scores]] = {
    "taylor": taylor_scores,
    "l1": lambda channels, sample: magnitude_scores(channels, 1),
    "l2": lambda channels, sample: magnitude_scores(channels, 2),
    "bn_scale": lambda channels, sample: norm_scale_scores(channels),
}
SUBNET_SCORES = ("taylor", "contribution")  # of the search's, those that need no learned importance factors


def _way(full: tuple[float, ...], target: tuple[float, ...], rounds: int) -> Schedule:
    """Amounts that fall geometrically, one round at a time."""
    return Schedule(full, (target,), tuple(range(1, rounds + 1)), 1)


class SubnetCut:
    """Cuts a network of gazenas.

    Args:
        network: as trained.
        targets: budgets.
        importance: of ``SUBNET_SCORES``.
        rounds: how many there will be.
        world: the processes that decide together.

    Raises:
        InputError: where a budget cannot be met.
    """

    def __init__(self, network: Network, targets: Targets, importance: str, rounds: int, world: World) -> None:
        if importance not in SUBNET_SCORES:
            raise InputError(
                f"--importance: expected one of {', '.join(SUBNET_SCORES)} for a network of gazenas, found "
                f"{importance!r}"
            )
        if not any(targets.budgets.values()):
            raise InputError("--target-macs: expected a budget that channels leave under, found none")
        thawed = thaw(network)
        self.plan = make_plan(targets, thawed, world)
        schedule = _way(self.plan.full, self.plan.waypoints[-1], rounds)
        self.controller = Controller(self.plan, schedule, importance, 1.0, world)
        self.controller.set_floors(thawed, KEEP_STREAM, KEEP_BLOCK)

    def cut(self, network: GazeModel, number: int, sample: RankingSample) -> Network:
        """The network after a round, from 1; the one given is left as it was."""
        assert isinstance(network, Network), type(network)
        thawed = thaw(network)
        sensitivity = Sensitivity(thawed)
        if self.controller.importance == "taylor":
            sample.slopes(thawed, sensitivity.update)
        keep = self.controller.choose(thawed, sensitivity, number)
        assert keep is not None, f"round {number} is in the schedule"
        device = next(thawed.parameters()).device
        remove(thawed, {name: mask.to(device) for name, mask in keep.items()})
        return freeze(thawed)

    def hold(self, network: nn.Module) -> None:
        """Nothing comes back."""

    def story(self) -> str:
        """What is asked for."""
        units = {resource.name: resource.unit for resource in self.plan.resources}
        return ", ".join(f"{show(amount)} {units[name]}" for name, amount in self.plan.targets.items())


class ComparatorCut:
    """Cuts a comparator or a hand-made rival.

    Args:
        network: as trained.
        targets: one budget, of MACs, parameters, bytes or milliseconds.
        importance: a key of ``CHANNEL_SCORES``.
        rounds: how many there will be.
        world: the processes that decide together.

    Raises:
        InputError: where the budget cannot be met.
    """

    def __init__(self, network: Baseline, targets: Targets, importance: str, rounds: int, world: World) -> None:
        if importance not in CHANNEL_SCORES:
            raise InputError(
                f"--importance: expected one of {', '.join(CHANNEL_SCORES)} for a comparator, found {importance!r}"
            )
        given = {word: text for word, text in targets.budgets.items() if text}
        if len(given) != 1 or not set(given) <= set(DRIVERS):
            raise InputError(
                f"--target-macs: expected one budget, of {', '.join(f'--target-{word}' for word in DRIVERS)}, found "
                f"{', '.join(f'--target-{word}' for word in given) or 'none'}"
            )
        ((self.word, text),) = given.items()
        self.importance, self.multiple, self.world = importance, targets.channel_multiple or 1, world
        self.measured: dict[str, float] = {}  # by fingerprint, since an export takes seconds
        channels = CoupledChannels(network)
        self.stopped = channels.stopped
        full = self._measure(channels, channels.everything())
        self.target = parse_amount(text, full, f"--target-{self.word}", budgets()[self.word])
        least = self._measure(channels, channels.least())
        if not least <= self.target < full:
            raise InputError(
                f"--target-{self.word}: {show(self.target)} is out of reach: expected at least "
                f"{show(least, up=True)}, which a channel left of everything takes, and less than {show(full)}"
                + (f"; channels that stay: {self.stopped}" if self.stopped else "")
            )
        self.schedule = _way((full,), (self.target,), rounds)

    def _measure(self, channels: CoupledChannels, alive: Mask) -> float:
        """What the network takes with some classes, of what the budget is of."""
        if self.word in ("macs", "params"):
            return channels.total(alive, self.word)
        pruned = channels.remove(alive).cpu().eval()
        key = pruned.architecture().fingerprint()
        if key not in self.measured:
            self.measured[key] = (
                file_bytes(pruned)
                if self.word == "size"
                else median_latencies([onnx_bytes(pruned)], pruned.input_size)[0]
            )
        return self.measured[key]

    def cut(self, network: GazeModel, number: int, sample: RankingSample) -> Baseline:
        """The network after a round, from 1; the one given is left as it was."""
        assert isinstance(network, Baseline), type(network)
        channels = CoupledChannels(deepcopy(network))
        scores = CHANNEL_SCORES[self.importance](channels, sample)
        limits = self.schedule.remaining(number)
        assert limits is not None, f"round {number} is in the schedule"
        alive: Tensor = self.world.take(torch.from_numpy(self._alive(channels, scores, limits[0])))
        pruned = channels.remove(alive.numpy())
        for parameter in pruned.parameters():
            parameter.grad = None
        return pruned

    def _alive(self, channels: CoupledChannels, scores: Scores, limit: float) -> Mask:
        """Classes that stay: as many as the limit allows, found by false position where it is of something measured."""
        driver = DRIVERS[self.word]
        if self.word == driver:
            return channels.select(scores, driver, limit, self.multiple)
        best = channels.least()
        low, high = float(channels.floor(driver)), float(channels.total(channels.everything(), driver))
        fits, exceeds = self._measure(channels, best), self._measure(channels, channels.everything())
        for _ in range(MEASUREMENTS):
            share = (AIM * limit - fits) / (exceeds - fits) if exceeds > fits else 0.5
            middle = low + (high - low) * min(max(share, 0.1), 0.9)
            alive = channels.select(scores, driver, middle, self.multiple)
            found = self._measure(channels, alive)
            if found > limit:
                high, exceeds = middle, found
                continue
            if found > fits:
                best = alive
            low, fits = middle, found
            if found >= CLOSE * limit:
                break
        return best

    def hold(self, network: nn.Module) -> None:
        """Nothing comes back."""

    def story(self) -> str:
        """What is asked for, and what stays."""
        unit = budgets()[self.word].unit
        return f"{show(self.target)} {unit}" + (f"; channels that stay: {self.stopped}" if self.stopped else "")
