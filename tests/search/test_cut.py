"""Who goes: the lowest score for its cost, as few as the limits ask, the last token's shared weights included."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gazenas.costs import COSTS
from gazenas.costs.macs import MACS
from gazenas.costs.params import PARAMS
from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.models.freezing import freeze
from gazenas.models.network import Network
from gazenas.models.parts import leaving_together
from gazenas.models.zoo import build_supernet
from gazenas.search import unit_groups
from gazenas.search.random_baseline import KINDS, random_scores
from gazenas.search.selection import cut, unit_costs
from gazenas.search.shrinking import remove
from gazenas.search.units import GroupKey
from tests.running import MICRO_CHAIN, MICRO_STREAMS, disturb


def random_scores_of(network: Network, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {group.name: torch.rand(len(group), generator=generator) for group in unit_groups(network)}


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
@pytest.mark.parametrize("names", [("macs",), ("params",), ("macs", "params")])
def test_every_limit_is_met_and_one_of_them_closely(any_net: Network, share: float, names: tuple[str, ...]) -> None:
    resources = [COSTS[name].of(any_net) for name in names]
    floors = [resource.floor(any_net) for resource in resources]
    counted = {"macs": lambda n: count_macs(n, 32), "params": lambda n: count_params(freeze(n))}
    limits = [f + share * (counted[name](any_net) - f) for f, name in zip(floors, names, strict=True)]
    groups = unit_groups(any_net)
    keep = cut(any_net, groups, random_scores_of(any_net), resources, limits)
    shrunk = copy.deepcopy(any_net)
    remove(shrunk, keep)
    left = [counted[name](shrunk) for name in names]
    assert all(amount <= limit for amount, limit in zip(left, limits, strict=True))
    costs = {name: unit_costs(any_net, groups, [r]) for name, r in zip(names, resources, strict=True)}
    dearest = {name: max(costs[name].values()) * counted[name](any_net) for name in names}
    assert any(limit - amount <= dearest[name] for amount, limit, name in zip(left, limits, names, strict=True))
    for group in groups:  # within a group the score alone decides
        score, stays = random_scores_of(any_net)[group.name], keep[group.name]
        if stays.any() and (~stays).any():
            assert score[stays].min() >= score[~stays].max()


def test_greedy_is_the_ranking_by_score_for_cost(micro_net: Network) -> None:
    """Against a plain loop over single units, where no path is emptied and the cost of a unit does not change."""
    groups = [group for group in unit_groups(micro_net) if group.kind != "token"]
    score = random_scores_of(micro_net) | {
        group.name: torch.full((len(group),), 1e6) for group in unit_groups(micro_net) if group.kind == "token"
    }
    for group in groups:
        score[group.name][0] = 1e6
    resource = MACS.of(micro_net)
    full = count_macs(micro_net, 32)
    limit = 0.9 * full
    keep = cut(micro_net, unit_groups(micro_net), score, [resource], [limit])
    ranked = sorted(
        (float(value) / float(group.cost()[0]), group.name, index)
        for group in groups
        for index, value in enumerate(score[group.name])
    )
    cost = {group.name: int(group.cost()[0]) for group in groups}
    gone, left = [], full
    for _, name, index in ranked:
        if left <= limit:
            break
        gone.append((name, index))
        left -= cost[name]
    for name, index in reversed(list(gone)):
        if left + cost[name] <= limit:
            gone.remove((name, index))
            left += cost[name]
    found = {(name, int(index)) for name, mask in keep.items() for index in (~mask).nonzero().flatten()}
    assert found == set(gone)


def test_the_last_tokens_shared_weights_can_be_crossed(micro_net: Network) -> None:
    """Single tokens look too dear to be worth removing; all of a block together are the better bargain."""
    resource = PARAMS.of(micro_net)
    groups = unit_groups(micro_net)
    score = {
        group.name: torch.full((len(group),), 0.5 if group.kind == "token" else 1.0) * group.cost("params")
        for group in groups
    }
    tokens = [group for group in groups if group.kind == "token"]
    full = count_params(freeze(micro_net))
    keep = cut(micro_net, groups, score, [resource], [full - 3.5 * float(tokens[0].cost("params")[0] * 4 + 12 * 81)])
    emptied = [group.name for group in tokens if not keep[group.name].any()]
    assert len(emptied) >= 2
    assert all(keep[group.name].all() for group in groups if group.kind != "token")


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_channels_leave_in_multiples_where_milliseconds_count(any_net: Network, share: float) -> None:
    resource = replace(MACS, channel_multiple=4).of(any_net)
    floor, full = resource.floor(any_net), count_macs(any_net, 32)
    groups, score, limit = unit_groups(any_net), random_scores_of(any_net), floor + share * (full - floor)
    keep = cut(any_net, groups, score, [resource], [limit], 4)
    shrunk = copy.deepcopy(any_net)
    remove(shrunk, keep)
    assert count_macs(shrunk, 32) <= limit
    for group in groups:
        together, stays = leaving_together(group.key.operator, 4), keep[group.name]
        count = int(stays.sum())
        assert count % together == 0 or count in (group.least, len(group))
        if stays.any() and (~stays).any():
            assert score[group.name][stays].min() >= score[group.name][~stays].max()
            fuller = copy.deepcopy(any_net)
            more = stays.clone()
            more[
                torch.argsort(score[group.name].masked_fill(stays, -1), descending=True)[: together - count % together]
            ] = True
            remove(fuller, keep | {group.name: more})
            assert count_macs(fuller, 32) > limit  # nothing more would have fitted
    assert any(leaving_together(group.key.operator, 4) > 1 for group in groups)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_fewer_channels_leave_together_where_a_multiple_would_miss_the_limit(any_net: Network, share: float) -> None:
    resource = MACS.of(any_net)
    floor, full = resource.floor(any_net), count_macs(any_net, 32)
    limit = floor + share * (full - floor)
    keep = cut(any_net, unit_groups(any_net), random_scores_of(any_net), [resource], [limit], 4)
    dearest = max(float(group.cost()[0]) for group in unit_groups(any_net))
    remove(any_net, keep)
    assert min(0.98 * limit, limit - dearest) <= count_macs(any_net, 32) <= limit


@pytest.mark.parametrize("name", [MICRO_STREAMS, MICRO_CHAIN])
def test_greedy_over_streams_is_a_plain_loop(name: Path) -> None:
    """Against recounting every network that one more unit could leave behind."""
    torch.manual_seed(0)
    network = disturb(build_supernet(name))
    groups, score, resource = unit_groups(network), random_scores_of(network), MACS.of(network)
    full = count_macs(network, 32)
    limit = 0.93 * full
    widths = {group.key: len(group) for group in groups}
    ranked = {group.key: score[group.name].sort(descending=True).values for group in groups}

    def macs(counts: dict[GroupKey, int]) -> float:
        taken = network.widths()
        for (owner, operator, group), count in counts.items():
            taken[owner][operator] = taken[owner][operator] | {group: count}
        return resource.total(network, taken)

    while macs(widths) > limit:
        offers = []
        for group in groups:
            count = widths[group.key]
            if count > group.least:
                fewer = widths | {group.key: count - 1}
                offers.append((float(ranked[group.key][count - 1]) / (macs(widths) - macs(fewer)), fewer))
        widths = min(offers, key=lambda offer: offer[0])[1]
    keep = cut(network, groups, score, [resource], [limit])
    found = {group.key: int(keep[group.name].sum()) for group in groups}
    assert sum(found[key] - count for key, count in widths.items()) >= 0  # the fill only adds
    assert all(found[key] >= count for key, count in widths.items())
    assert macs(found) <= limit


def test_impossible_limits_say_what_remains(any_net: Network) -> None:
    resource = MACS.of(any_net)
    floor = resource.floor(any_net)
    with pytest.raises(InputError, match=f"{int(floor):,} remain"):
        cut(any_net, unit_groups(any_net), random_scores_of(any_net), [resource], [floor - 1])


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_architectures(any_net: Network, kind: str) -> None:
    resource, groups = MACS.of(any_net), unit_groups(any_net)
    costs, limit = unit_costs(any_net, groups, [resource]), 0.5 * count_macs(any_net, 32)
    drawn = []
    for seed in range(3):
        network = copy.deepcopy(any_net)
        remove(network, cut(network, groups, random_scores(network, kind, costs, seed), [resource], [limit]))
        assert 0.97 * limit <= count_macs(network, 32) <= limit
        drawn.append(network.architecture().fingerprint())
        shares = [len(left) / len(whole) for whole, left in zip(groups, unit_groups(network), strict=False)]
        if kind == "uniform":
            assert max(shares) - min(shares) < (0.35 if any_net.space.name == "micro" else 0.55)  # few units a group
    differ = [a != b for a, b in itertools.combinations(drawn, 2)]
    assert all(differ) if kind == "random" else not any(differ)
