"""Costs are true: what a unit is said to cost is what its removal saves."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from gazenas.costs import COSTS
from gazenas.counting import count_macs, count_params
from gazenas.models.freezing import freeze
from gazenas.models.network import Network
from gazenas.models.zoo import build_subnet, build_supernet
from gazenas.search import unit_groups
from gazenas.search.regularization import penalty
from gazenas.search.shrinking import shrink
from gazenas.search.units import full_unit_costs
from gazenas.space.architecture import Architecture


def leave(network: Network, counts: tuple[int, ...]) -> None:
    """Shrinks the groups to the given counts, in turn."""
    with torch.no_grad():
        for index, group in enumerate(unit_groups(network)):
            group.alpha[counts[index % len(counts)] :] = 0
    shrink(network, 0.0)


@pytest.mark.parametrize("counts", [(99,), (1,), (0, 1, 2, 3), (0, 0, 1, 0, 0), (1, 0, 0, 0)])
def test_cost_is_what_removing_one_unit_saves(any_net: Network, counts: tuple[int, ...]) -> None:
    leave(any_net, counts)
    macs, params = count_macs(any_net, 32), count_params(freeze(any_net))
    for index, group in list(enumerate(unit_groups(any_net)))[::3]:
        if len(group) <= group.least:
            continue  # a stream keeps so many
        smaller = copy.deepcopy(any_net)
        with torch.no_grad():
            unit_groups(smaller)[index].alpha[0] = 0
        shrink(smaller, 0.0)
        assert group.cost("macs").tolist() == [macs - count_macs(smaller, 32)] * len(group), group.name
        assert group.cost("params").tolist() == [params - count_params(freeze(smaller))] * len(group), group.name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gazenas_tiny", "gazenas", "gazenas_fast_tiny", "gazenas_fast", "gazenas_fast_eye"])
@pytest.mark.parametrize("counts", [(999,), (1, 3, 0, 7)])
def test_costs_of_every_group_of_the_shipped_spaces(name: str, counts: tuple[int, ...]) -> None:
    """Against counting a network built with one unit fewer."""
    network = build_supernet(name)
    leave(network, counts)
    arch = network.architecture()
    macs = count_macs(network, network.input_size)
    for group in unit_groups(network):
        if len(group) <= group.least:
            continue  # a stream keeps so many
        kept = {name: {op: dict(groups) for op, groups in ops.items()} for name, ops in arch.kept.items()}
        kept[group.key.owner][group.key.operator][group.key.group] -= 1
        fewer = count_macs(build_subnet(Architecture(arch.space, kept)), network.input_size)
        assert group.cost("macs").tolist() == [macs - fewer] * len(group), group.name


def test_the_papers_delta(micro_net: Network) -> None:
    specs = {spec.name: spec for spec in micro_net.space.blocks()}
    for group in unit_groups(micro_net):
        spec = specs[group.key.owner]
        if group.kind != "token":
            kernel, side = int(group.kind[-1]), 32 // spec.reduction // spec.stride
            assert group.cost("paper").tolist() == [kernel**2 * side**2] * len(group)


def test_penalty_is_the_stated_sum(micro_net: Network) -> None:
    full = full_unit_costs(micro_net, "macs")
    mean = sum(count * cost for count, cost in full) / sum(count for count, _ in full)
    with torch.no_grad():
        for group in unit_groups(micro_net):
            group.alpha.uniform_(-1, 1)
    expected = sum(float((group.alpha.detach().abs() * group.cost()).sum()) for group in unit_groups(micro_net)) / mean
    found = penalty(micro_net)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)
    found.backward()
    for group in unit_groups(micro_net):
        torch.testing.assert_close(group.alpha.grad, group.alpha.detach().sign() * group.cost() / mean)


def test_lambda_means_the_same_in_every_space() -> None:
    for name in ("gazenas", "gazenas_tiny"):
        network = build_supernet(name)
        assert float(penalty(network).detach()) == pytest.approx(
            sum(len(group) for group in unit_groups(network)), rel=1e-4
        )


def test_mean_unit_cost_does_not_change_by_shrinking(micro_net: Network) -> None:
    before = full_unit_costs(micro_net, "macs")
    leave(micro_net, (1, 2))
    assert full_unit_costs(micro_net, "macs") == before


def test_a_stream_costs_what_its_readers_and_writers_save(any_net: Network) -> None:
    """By hand for the chain: rows and columns of every convolution around the stream, times the pixels that they are
    applied to."""
    if any_net.space.name != "micro_chain":
        pytest.skip("of the chain")
    cost = {group.name: int(group.cost()[0]) for group in unit_groups(any_net)}
    image, stem, first, second, hidden = 3, 8, 8, 12, 8
    assert cost["stem1.stream.channel"] == 9 * (image * 16**2 + first * 8**2)
    assert cost["stage1.branch1.stream.channel"] == 9 * (stem * 8**2 + 2 * hidden * 8**2 + second * 4**2)
    assert cost["stage2.branch1.stream.channel"] == 9 * (first + 2 * 2 * second) * 4**2 + 4**2 * 8


@pytest.mark.parametrize("metric", COSTS)
def test_every_metric_is_positive(
    micro_net: Network, metric: str, latency_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(latency_cache))
    assert all(bool((group.cost(metric) > 0).all()) for group in unit_groups(micro_net))


def test_a_group_key_is_a_tuple_that_writes_itself_out(any_net: Network) -> None:
    widths = any_net.widths()
    for group in unit_groups(any_net):
        owner, operator, key = group.key
        assert (group.key.owner, group.key.operator, group.key.group) == (owner, operator, key)
        assert widths[owner][operator][key] == len(group)
        assert str(group.key) == f"{group.key}" == group.name == f"{owner}.{operator}.{key}"
        assert group.is_stream == group.key.is_stream == (group.kind == "stream")
