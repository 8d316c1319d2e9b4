"""The hand-made rival scaled to a budget: what a search of the same budget has to beat."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.costs.budget import show
from gazenas.costs.latency.cost import LATENCY
from gazenas.costs.macs import MACS
from gazenas.costs.params import PARAMS
from gazenas.costs.size import SIZE, file_bytes
from gazenas.errors import InputError
from gazenas.models.baselines.baseline import Baseline
from gazenas.models.baselines.handmade import (
    HIDDEN,
    handmade,
    handmade_macs,
    handmade_params,
    stretch,
    strided_convolutions,
)
from gazenas.ops.channels import ALIGNED, channels_at_once
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task

PROPORTIONS = (
    1.0,
    1.2,
    1.55,
    2.4,
)  # of the widths of four convolutions, the best tried; more or fewer lie on the same curve
SHARE = 0.98  # of a budget that is at least spent, and
MS_SHARE = 0.95  # of milliseconds, which a neighbor's work moves by a few hundredths
REACH = 4  # multiples on either side of exact proportions that are tried, fewer where the networks would be more than
MOST = 1_000_000
EXPORTS = 5  # until the file's size fits
RUNGS = 4  # networks of growing size that are timed together
NEAR = 1.2  # how many times more or fewer MACs networks near the milliseconds have
TIMED, BATCHES = 12, 10  # of these are timed together, and how often until one fits

UNITS = {quantity.budget: quantity.unit for quantity in (MACS, PARAMS, SIZE, LATENCY)}

Channels = tuple[int, ...]
IntArray = NDArray[np.int64]


def scaled_rival(
    budgets: Mapping[str, float],
    input_size: int,
    *,
    multiple: int = 0,
    proportions: Sequence[float] = PROPORTIONS,
    hidden: int = HIDDEN,
    task: Task = GAZE,
) -> Baseline:
    """The hand-made network that spends a budget and keeps ``proportions`` as well as channels in multiples allow.

    Args:
        budgets: by ``macs``, ``params``, ``size`` (bytes of the float32 ONNX file) or ``ms``; of several, none is
            exceeded and one is spent. Milliseconds are measured here: onnxruntime, one thread, the fastest of many
            single images.
        input_size: of the images.
        multiple: that widths come in; 0 for four, or, under ``ms``, for what this processor computes at once (16 with
            AVX-512, else 8).
        proportions: of four widths, the first convolution's first.
        hidden: units of the hidden layer.
        task: what it predicts.

    Returns:
        Fresh weights. Between 98% and all of the tightest budget is spent; between 95% and all where milliseconds
        count.

    Raises:
        InputError: where no widths spend a budget so well; it says the nearest below and above.
    """
    if not budgets or not set(budgets) <= set(UNITS):
        raise InputError(f"hand-made rival: expected budgets of {', '.join(UNITS)}, found {dict(budgets)}")
    together = multiple or (channels_at_once() if "ms" in budgets else ALIGNED)
    curve = stretch(proportions, strided_convolutions(input_size))
    fit = Fit(dict(budgets), input_size, together, curve, hidden, task)
    if "size" in budgets:
        fit.learn_file_size(fit.smallest())
    chosen = fit.by_milliseconds() if "ms" in budgets else fit.by_formula()
    for _ in range(EXPORTS if "size" in budgets else 0):
        if fit.learn_file_size(chosen) <= budgets["size"]:
            break
        chosen = fit.by_milliseconds() if "ms" in budgets else fit.by_formula()
    return fit.build(chosen)


@dataclass
class Fit:
    """Hand-made networks against budgets.

    Attributes:
        budgets: by quantity.
        input_size: of the images.
        multiple: that channels come in.
        curve: proportions of the widths, one a convolution.
        hidden: units of the hidden layer.
        task: what they predict.
        file_overhead: bytes of an exported file besides four a parameter, as last seen.
        measured: milliseconds of what has been timed.
    """

    budgets: dict[str, float]
    input_size: int
    multiple: int
    curve: list[float]
    hidden: int
    task: Task = GAZE
    file_overhead: int = 0
    measured: dict[Channels, float] = field(default_factory=dict)

    def build(self, channels: Channels) -> Baseline:
        """One of these networks, with fresh weights."""
        network = handmade(input_size=self.input_size, channels=list(channels), hidden=self.hidden)
        if self.task is not GAZE:
            network.answer(self.task)
        return network

    def smallest(self) -> Channels:
        """One multiple everywhere."""
        return (self.multiple,) * len(self.curve)

    def learn_file_size(self, channels: Channels) -> int:
        """Bytes of a network's file, from which those of its neighbors follow."""
        size = file_bytes(self.build(channels))
        self.file_overhead = size - 4 * self.params(channels)
        return size

    def amounts(self, channels: Sequence[Any]) -> dict[str, Any]:
        """What networks take of each budget that has a formula; ``channels`` as in ``handmade_macs``."""
        formulas: dict[str, Callable[[], Any]] = {
            "macs": lambda: self.macs(channels),
            "params": lambda: self.params(channels),
            "size": lambda: self.file_overhead + 4 * self.params(channels),
        }
        return {name: formula() for name, formula in formulas.items() if name in self.budgets}

    def macs(self, channels: Sequence[Any]) -> Any:
        """MACs, whether there is a budget of them or not."""
        return handmade_macs(channels, self.input_size, self.hidden, len(self.task.outputs))

    def params(self, channels: Sequence[Any]) -> Any:
        """Parameters, the same."""
        return handmade_params(channels, self.input_size, self.hidden, len(self.task.outputs))

    def load(self, channels: Sequence[Any]) -> Any:
        """The largest share of any such budget; 0 without one."""
        shares = [amount / self.budgets[name] for name, amount in self.amounts(channels).items()]
        return np.max(shares, axis=0) if shares else np.zeros_like(channels[0], dtype=float)

    def by_formula(self) -> Channels:
        """Of all widths near the curve that spend the budgets, those that bend it least."""
        grid = self.around(self.scale_of(lambda channels: float(self.load(channels)) <= 1))
        load, bend = self.load(list(grid.T)), self.bend(grid)
        fits = np.flatnonzero((load <= 1) & (load > SHARE))
        if not len(fits):
            raise self.refusal(grid, load, SHARE)
        return _widths(grid[fits[np.lexsort((-load[fits], bend[fits]))[0]]])

    def by_milliseconds(self) -> Channels:
        """The same with milliseconds measured: of growing networks first, then of those near the budget that bend the
        curve least."""
        macs = self.macs_of_milliseconds()

        def fits(channels: list[int]) -> bool:
            return self.macs(channels) <= macs and float(self.load(channels)) <= 1

        scale = self.scale_of(fits)
        grid = self.around(scale)
        near = np.abs(np.log(self.macs(list(grid.T)) / self.macs(self.single(scale)))) < np.log(NEAR)
        grid = grid[near & (self.load(list(grid.T)) <= 1)]
        grid = grid[np.argsort(self.bend(grid), kind="stable")][: BATCHES * TIMED]
        for begin in range(0, len(grid), TIMED):
            batch = grid[begin : begin + TIMED]
            _, spent = self.timed(batch)
            if spent.any():
                return _widths(batch[np.flatnonzero(spent)[0]])
        grid = grid if len(grid) else np.array([self.smallest()])
        raise self.refusal(grid, self.timed(grid)[0], MS_SHARE)

    def timed(self, grid: IntArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Of each network the largest share of any budget, milliseconds too, and whether it spends one of them."""
        self.time([_widths(row) for row in grid])
        ms = np.array([self.measured[_widths(row)] for row in grid]) / self.budgets["ms"]
        exact = self.load(list(grid.T))
        load = np.maximum(ms, exact)
        return load, (load <= 1) & ((ms > MS_SHARE) | (exact > SHARE))

    def macs_of_milliseconds(self) -> float:
        """MACs at which growing networks reach the milliseconds, between the two nearest of them."""
        rungs: list[Channels] = [self.smallest()]
        scale = self.multiple / self.curve[-1]
        while True:
            while len(rungs) % RUNGS:
                scale *= 1.15
                widths = self.rounded(scale)
                rungs += [widths] if widths != rungs[-1] else []
            self.time(rungs)
            taken = [self.measured[widths] for widths in rungs]
            if taken[-1] > self.budgets["ms"]:
                break
            rungs.append(self.rounded(scale := scale * 1.3))
        macs = [float(self.macs(widths)) for widths in rungs]
        if taken[0] > self.budgets["ms"]:
            grid = np.array(rungs[:1])
            raise self.refusal(grid, np.array(taken[:1]) / self.budgets["ms"], MS_SHARE)
        return float(np.interp(self.budgets["ms"], np.maximum.accumulate(taken), macs))

    def time(self, networks: Sequence[Channels]) -> None:
        """Adds the milliseconds of networks that have not been timed."""
        missing = [widths for widths in dict.fromkeys(networks) if widths not in self.measured]
        if missing:
            self.measured |= zip(missing, milliseconds([self.build(widths) for widths in missing]), strict=True)

    def rounded(self, scale: float) -> Channels:
        """``scale`` times the curve in whole multiples."""
        return tuple(self.multiple * max(1, round(scale * share / self.multiple)) for share in self.curve)

    def single(self, scale: float) -> list[int]:
        """``scale`` times the curve in single channels."""
        return [max(1, round(scale * share)) for share in self.curve]

    def scale_of(self, fits: Callable[[list[int]], bool]) -> float:
        """The largest factor on the curve, with single channels, at which a network still fits."""
        low, high = 1e-3, 1.0
        while fits(self.single(high)):
            low, high = high, 2 * high
        while high / low > 1.001:
            middle = (low * high) ** 0.5
            low, high = (middle, high) if fits(self.single(middle)) else (low, middle)
        return low

    def around(self, scale: float) -> IntArray:
        """``(networks, convolutions)``: all widths in multiples within ``REACH`` of ``scale`` times the curve."""
        reach = REACH
        while (2 * reach + 1) ** len(self.curve) > MOST:
            reach -= 1
        steps = [round(width / self.multiple) for width in self.rounded(scale)]
        sides = [np.unique(np.maximum(1, np.arange(step - reach, step + reach + 1))) for step in steps]
        return self.multiple * np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, len(sides))

    def bend(self, grid: IntArray) -> NDArray[np.float64]:
        """How far widths are from the curve: the variance of the logarithm of their ratio to it."""
        bends: NDArray[np.float64] = np.log(grid / np.array(self.curve)).var(1)
        return bends

    def refusal(self, grid: IntArray, load: NDArray[np.float64], share: float) -> InputError:
        """What to say where nothing fits: the nearest below and above."""
        below, above = np.flatnonzero(load <= 1), np.flatnonzero(load > 1)
        nearest = [
            ("below", grid[below[np.argmax(load[below])]] if len(below) else None),
            ("above", grid[above[np.argmin(load[above])]] if len(above) else None),
        ]
        words = []
        for side, row in nearest:
            if row is None:
                words.append(f"none {side}")
                continue
            amounts = dict(self.amounts([int(width) for width in row]))
            amounts |= {"ms": self.measured[_widths(row)]} if "ms" in self.budgets else {}
            taken = _said(amounts)
            words.append(f"{'-'.join(map(str, row))} {side} ({taken})")
        return InputError(
            f"hand-made rival: no widths in multiples of {self.multiple} at {self.input_size} pixels take "
            f"{share:.0%} to 100% of "
            f"{_said(self.budgets)}: nearest are {' and '.join(words)}; choose a budget at one of these"
        )


def milliseconds(networks: Sequence[Baseline]) -> list[float]:
    """Of single images in onnxruntime on one thread, each network's fastest run of many; the networks take turns."""
    from gazenas.costs.latency.measurement import THREADS, Models, write_kit
    from gazenas.export.timing import measure_kit

    models: Models = {
        str(number): (lambda network=network: network, 3, (network.input_size, network.input_size))  # type: ignore[misc]
        for number, network in enumerate(networks)
    }
    with tempfile.TemporaryDirectory() as aside:
        write_kit(models, Path(aside) / "kit.zip")
        table = measure_kit(Path(aside) / "kit.zip", threads=THREADS)
    return [float(table["ms"][key]) for key in models]


def _widths(row: IntArray) -> Channels:
    return tuple(int(width) for width in row)


def _said(amounts: Mapping[str, float]) -> str:
    return ", ".join(f"{show(amount)} {UNITS[name]}" for name, amount in amounts.items())
