"""Coupled channels of a comparator: what they take, which leave under a budget, and the network without them.

Classes of channels that lie alike in the same layers are a family. Within a family the lowest score leaves first;
between families, the lowest score for what it saves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gazenas.compression.coupling import CoupledLayer, couple
from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.models.baselines import Baseline
from gazenas.models.resizing import STATISTICS, keep_channels, layer_channels
from gazenas.ops.channels import round_up

LEAST_SHARE = 0.25  # of a family that stays, where the budget can be met so
SHORT = 0.98  # of a limit; what ends below is filled by smaller numbers of channels
Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]
Touch = tuple[int, int, int]  # a layer, and how many of its inputs and of its outputs a class is


class CoupledChannels:
    """The channels of a comparator.

    Args:
        network: left as it is.

    Attributes:
        layers: as ``gazenas.compression.coupling`` has them.
        fixed: by class, whether its channels stay.
        families: classes by family.
        stopped: why channels stay, in words; empty where only the answers do.

    Raises:
        InputError: where layers run in training alone, which would no longer fit.
    """

    def __init__(self, network: Baseline) -> None:
        coupling = couple(network.body, network.input_size)
        if coupling.idle:
            raise InputError(
                f"{network.spec.baseline}: expected every layer to run outside training, too; these do not, and would "
                f"not fit the pruned others: {', '.join(coupling.idle[:4])}"
            )
        self.network, self.layers, self.fixed = network, coupling.layers, coupling.fixed
        kept = {name: count for name, count in coupling.stopped.items() if name != "output"}
        self.stopped = ", ".join(f"{count} at {name}" for name, count in kept.items())
        self.families, self.touched = self._families()
        self.rest = {
            "macs": count_macs(network, network.input_size) - self.inside(self.everything(), "macs"),
            "params": count_params(network) - self.inside(self.everything(), "params"),
        }

    def _families(self) -> tuple[list[NDArray[np.int64]], list[list[Touch]]]:
        """Classes that may leave, and where those of each family lie."""
        places: list[dict[int, list[int]]] = [{} for _ in self.fixed]
        for index, layer in enumerate(self.layers):
            for side, ids in enumerate((layer.into, layer.out)):
                for number in ids.tolist():
                    places[number].setdefault(index, [0, 0])[side] += 1
        alike: dict[tuple[Touch, ...], list[int]] = {}
        for number, found in enumerate(places):
            if found and not self.fixed[number]:
                alike.setdefault(tuple((index, *counts) for index, counts in found.items()), []).append(number)  # type: ignore[misc]
        return [np.array(numbers) for numbers in alike.values()], [list(touch) for touch in alike]

    def inside(self, alive: Mask, quantity: str) -> int:
        """MACs or parameters of all layers with the classes that are alive."""
        return sum(
            _amount(layer, int(alive[layer.into].sum()), int(alive[layer.out].sum()), quantity) for layer in self.layers
        )

    def total(self, alive: Mask, quantity: str) -> int:
        """``macs`` or ``params`` of the whole network."""
        return self.rest[quantity] + self.inside(alive, quantity)

    def everything(self) -> Mask:
        """All classes."""
        return np.ones(len(self.fixed), np.bool_)

    def least(self) -> Mask:
        """One class of each family, and what stays anyway."""
        alive = self.everything()
        for family in self.families:
            alive[family[1:]] = False
        return alive

    def floor(self, quantity: str) -> int:
        """The least that the network can take."""
        return self.total(self.least(), quantity)

    def select(self, scores: Scores, quantity: str, limit: float, multiple: int = 1) -> Mask:
        """Which classes stay so that the network takes at most ``limit``, and just less.

        Args:
            scores: of each class, not negative.
            quantity: ``macs`` or ``params``.
            limit: at least the ``floor``.
            multiple: the number of channels that leave together; fewer do where the limit would be missed by much.

        Raises:
            InputError: where the limit is below the floor.
        """
        if limit < self.floor(quantity):
            raise InputError(
                f"cannot leave at most {limit:,.0f} {quantity}: with a channel left of everything "
                f"{self.floor(quantity):,} remain"
            )
        choice = _Choice(self, scores, quantity, multiple, LEAST_SHARE)
        if not choice.empty_until(limit):
            choice = _Choice(self, scores, quantity, multiple, 0.0)
            choice.empty_until(limit)
        choice.fill(limit)
        while choice.multiple > 1 and choice.total < SHORT * limit:
            choice.multiple //= 2
            choice.fill(limit)
        return choice.alive()

    @torch.no_grad()
    def remove(self, alive: Mask) -> Baseline:
        """A copy of the network without the classes that are not alive."""
        pruned = deepcopy(self.network)
        left: dict[str, Sequence[int]] = dict(pruned.spec.channels)
        device = next(pruned.parameters()).device
        for layer in self.layers:
            into, out = alive[layer.into], alive[layer.out]
            if into.all() and out.all():
                continue
            module = pruned.body.get_submodule(layer.name)
            columns = torch.from_numpy(np.flatnonzero(into)).to(device) if layer.paired else None
            keep_channels(module, columns, torch.from_numpy(np.flatnonzero(out)).to(device))
            left[layer.name] = layer_channels(module)
        pruned.spec = replace(pruned.spec, channels=left)
        return pruned


class _Choice:
    """How many of each family are still in."""

    def __init__(self, owner: CoupledChannels, scores: Scores, quantity: str, multiple: int, share: float) -> None:
        self.owner, self.quantity, self.multiple = owner, quantity, multiple
        self.order = [family[np.argsort(scores[family], kind="stable")] for family in owner.families]  # worst first
        self.sums = [np.concatenate([[0.0], np.cumsum(scores[order])]) for order in self.order]
        self.least = [min(len(order), max(1, round_up(share * len(order), multiple))) for order in self.order]
        self.gone = [0] * len(self.order)
        self.counts = [[len(layer.into), len(layer.out)] for layer in owner.layers]
        self.total = owner.total(owner.everything(), quantity)

    def empty_until(self, limit: float) -> bool:
        """Takes the worst for what it saves out, until the limit is met; whether it is."""
        while self.total > limit:
            offers = [(self._score(number, count) / self._saving(number, count), number, count)
                      for number in range(len(self.order)) if (count := self._down(number))]  # fmt: skip
            if not offers:
                return False
            _, number, count = min(offers)
            self._move(number, count)
        return True

    def fill(self, limit: float) -> None:
        """Puts the best for what it takes back, as long as the limit stays met."""
        while True:
            offers = []
            for number, gone in enumerate(self.gone):
                count = min(gone, self.multiple)
                taken = -self._saving(number, -count)
                if count and self.total + taken <= limit:
                    offers.append((self._score(number, -count) / max(taken, 1), number, count))
            if not offers:
                return
            _, number, count = max(offers)
            self._move(number, -count)

    def alive(self) -> Mask:
        """By class, whether it stays."""
        alive = self.owner.everything()
        for order, gone in zip(self.order, self.gone, strict=True):
            alive[order[:gone]] = False
        return alive

    def _down(self, number: int) -> int:
        left = len(self.order[number]) - self.gone[number]
        return max(0, min((left - 1) % self.multiple + 1, left - self.least[number]))

    def _score(self, number: int, count: int) -> float:
        gone = self.gone[number]
        return abs(float(self.sums[number][gone + count] - self.sums[number][gone]))

    def _saving(self, number: int, count: int) -> int:
        """What ``count`` fewer of a family save; negative for what more would take."""
        saved = 0
        for index, into, out in self.owner.touched[number]:
            layer, (inputs, outputs) = self.owner.layers[index], self.counts[index]
            before = _amount(layer, inputs, outputs, self.quantity)
            saved += before - _amount(layer, inputs - into * count, outputs - out * count, self.quantity)
        return saved

    def _move(self, number: int, count: int) -> None:
        self.total -= self._saving(number, count)
        self.gone[number] += count
        for index, into, out in self.owner.touched[number]:
            self.counts[index][0] -= into * count
            self.counts[index][1] -= out * count


def _amount(layer: CoupledLayer, inputs: int, outputs: int, quantity: str) -> int:
    pairs = inputs * outputs if layer.paired else outputs
    if quantity == "macs":
        return pairs * layer.pair_macs
    return pairs * layer.pair_params + outputs * layer.out_params


# Scores of classes.


def magnitude_scores(channels: CoupledChannels, power: int) -> Scores:
    """L1 or L2 norm of the weights that make each class, relative to the mean of its family: layers have scales of
    their own."""
    found = _summed(channels, lambda layer, name: getattr(layer, name).detach().abs() ** power, norms=False)
    found = found ** (1 / power)
    for family in channels.families:
        found[family] /= max(float(found[family].mean()), 1e-30)
    return found


def norm_scale_scores(channels: CoupledChannels) -> Scores:
    """Absolute scales of the BatchNorms behind each class, summed (network slimming, Liu et al., ICCV 2017); classes
    without one, such as those of a hidden linear layer, count as the largest.

    Raises:
        InputError: where there is no BatchNorm.
    """
    found, bare = np.zeros(len(channels.fixed)), channels.everything()
    for layer in channels.layers:
        if layer.kind == "norm":
            scale = channels.network.body.get_submodule(layer.name).weight
            np.add.at(found, layer.out, _numbers(scale.detach().abs()))  # type: ignore[operator]
            bare[layer.out] = False
    if bare.all():
        raise InputError(
            f"--importance bn_scale: {channels.network.spec.baseline} has no BatchNorm: expected taylor, l1 or l2"
        )
    found[bare] = found.max()
    return found


def slope_products(channels: CoupledChannels) -> Scores:
    """Of each class the sum of weight times gradient over everything that makes it: what the loss would change by
    without it, to first order (Molchanov et al., CVPR 2019). Gradients must be there."""

    def product(layer: nn.Module, name: str) -> Tensor:
        tensor: Tensor = getattr(layer, name)
        return torch.zeros_like(tensor) if tensor.grad is None else (tensor * tensor.grad).detach()

    return _summed(channels, product, norms=True)


def _summed(channels: CoupledChannels, value: Callable[[nn.Module, str], Tensor], *, norms: bool) -> Scores:
    """By class, the sum of a value of the parameters that make its channels."""
    found = np.zeros(len(channels.fixed))
    for layer in channels.layers:
        if layer.kind == "norm" and not norms:
            continue
        module = channels.network.body.get_submodule(layer.name)
        for name in STATISTICS[:2]:
            if getattr(module, name) is not None:
                np.add.at(found, layer.out, _numbers(value(module, name).flatten(1).sum(1))
                          if name == "weight" and layer.kind != "norm" else _numbers(value(module, name)))  # fmt: skip
    return found


def _numbers(tensor: Any) -> Scores:
    numbers: Scores = tensor.double().cpu().numpy()
    return numbers
