"""The rival's scaling: against all widths there are, by made-up milliseconds, and what is said where nothing fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.export.onnx import onnx_bytes
from gazenas.models.baselines import Baseline
from gazenas.models.baselines.handmade import handmade_macs, handmade_params
from gazenas.search import rival
from gazenas.search.rival import PROPORTIONS, scaled_rival
from tests.running import disturb


def widths(network: Baseline) -> list[int]:
    return list(network.architecture().settings["channels"])


@pytest.mark.parametrize(
    "budgets",
    [{"macs": 4.5e6}, {"macs": 9.15e6}, {"macs": 18e6}, {"params": 100e3}, {"macs": 9e6, "params": 250e3}],
)
def test_no_other_widths_spend_a_budget_and_bend_less(budgets: dict[str, float]) -> None:
    network = scaled_rival(budgets, 64)
    taken = {"macs": count_macs(network, 64), "params": count_params(network)}
    assert all(taken[name] <= budget for name, budget in budgets.items())
    assert max(taken[name] / budget for name, budget in budgets.items()) > 0.98
    every = np.meshgrid(*(np.arange(4, most + 4, 4) for most in (48, 64, 96, 160)), indexing="ij")
    channels = [side.ravel() for side in every]
    amounts = {"macs": handmade_macs(channels, 64), "params": handmade_params(channels, 64)}
    load = np.max([amounts[name] / budget for name, budget in budgets.items()], axis=0)
    spent = (load <= 1) & (load > 0.98)
    bends = np.var([np.log(c[spent] / p) for c, p in zip(channels, PROPORTIONS, strict=True)], axis=0)
    mine = np.var([np.log(c / p) for c, p in zip(widths(network), PROPORTIONS, strict=True)])
    assert mine == pytest.approx(bends.min())


@pytest.mark.parametrize(("size", "count"), [(32, 3), (128, 5), (224, 5)])
def test_other_sizes_and_multiples(size: int, count: int) -> None:
    network = scaled_rival({"macs": 30e6}, size, multiple=8)
    assert len(widths(network)) == count
    assert all(width % 8 == 0 for width in widths(network))
    assert 0.98 * 30e6 < count_macs(network, size) <= 30e6


def test_proportions_are_the_experimenter_s() -> None:
    flat = widths(scaled_rival({"macs": 9.15e6}, 64, proportions=(1, 1, 1, 1)))
    assert max(flat) <= 1.5 * min(flat)
    late = widths(scaled_rival({"macs": 9.15e6}, 64, proportions=(1, 1.4, 2.75, 5.5)))
    assert max(late) > 4 * min(late)
    own = widths(scaled_rival({"macs": 9.15e6}, 64))
    assert [width / own[0] for width in own] == pytest.approx(PROPORTIONS, rel=0.1)


@pytest.mark.slow
def test_bytes_are_those_of_the_file() -> None:
    network = scaled_rival({"size": 400e3}, 32)
    size = len(onnx_bytes(disturb(network)))  # type: ignore[arg-type, type-var]
    assert 0.98 * 400e3 < size <= 400e3


def in_sixteens(networks: Sequence[Baseline]) -> list[float]:
    """Milliseconds of a machine that pads channels to sixteen."""
    padded = [[-(-width // 16) * 16 for width in widths(network)] for network in networks]
    return [0.02 + handmade_macs(channels, 64) / 60e6 for channels in padded]


@pytest.mark.parametrize("ms", [0.1, 0.25, 0.6, 1.0])
def test_milliseconds_are_measured(ms: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rival, "milliseconds", in_sixteens)
    network = scaled_rival({"ms": ms}, 64, multiple=16)
    assert all(width % 16 == 0 for width in widths(network))
    assert 0.95 * ms < in_sixteens([network])[0] <= ms
    both = scaled_rival({"ms": ms, "macs": 1e9}, 64, multiple=16)
    assert widths(both) == widths(network)


def test_milliseconds_of_this_machine() -> None:
    network = scaled_rival({"macs": 2e6}, 32)
    one, other = rival.milliseconds([network, scaled_rival({"macs": 80e6}, 32)])
    assert 0 < one < other


@pytest.mark.parametrize(
    ("budgets", "multiple", "message"),
    [
        ({"macs": 1000}, 4, r"of 1,000 MACs: nearest are none below and 4-4-4-4 above \(259,968 MACs\)"),
        ({"params": 10}, 4, "nearest are none below and 4-4-4-4 above"),
        ({"macs": 4.2e6}, 32, r"multiples of 32 .* nearest are none below and 32-32-32-32 above"),
        ({"macs": 1e9, "params": 100}, 4, "above"),
        ({"joules": 3}, 4, "expected budgets of macs, params, size, ms, found {'joules': 3}"),
        ({}, 4, "expected budgets of macs, params, size, ms, found {}"),
    ],
)
def test_budgets_that_no_width_fits(budgets: dict[str, float], multiple: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scaled_rival(budgets, 64, multiple=multiple)


def test_the_nearest_are_named_on_both_sides() -> None:
    """Wide steps at a small budget: no network in between, and the two that are named are true neighbors."""
    budget = 14.0e6
    every = np.meshgrid(*[np.arange(32, 161, 32)] * 4, indexing="ij")
    macs = handmade_macs([side.ravel() for side in every], 64)
    below, above = macs[macs <= budget].max(), macs[macs > budget].min()
    assert below < 0.98 * budget  # or nothing is tested
    with pytest.raises(InputError, match=rf"below \({below:,} MACs\) and .* above \({above:,} MACs\)"):
        scaled_rival({"macs": budget}, 64, multiple=32)
    assert 0.98 * below < count_macs(scaled_rival({"macs": float(below)}, 64, multiple=32), 64) <= below


def test_milliseconds_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rival, "milliseconds", in_sixteens)
    with pytest.raises(InputError, match=r"take 95% to 100% of 0.010 ms: nearest are none below and 16-16-16-16 above"):
        scaled_rival({"ms": 0.01}, 64, multiple=16)


def test_of_milliseconds_and_macs_the_tighter_binds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rival, "milliseconds", in_sixteens)
    network = scaled_rival({"ms": 5.0, "macs": 20e6}, 64, multiple=8)
    assert 0.98 * 20e6 < count_macs(network, 64) <= 20e6
    network = scaled_rival({"ms": 0.3, "macs": 200e6}, 64, multiple=8)
    assert 0.95 * 0.3 < in_sixteens([network])[0] <= 0.3
