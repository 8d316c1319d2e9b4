"""How a search begins: a few times its budget, thinned alike everywhere, and with floors under every unit group."""

from __future__ import annotations

import copy

import pytest
import torch

from gazenas.counting import count_macs, count_params
from gazenas.models.network import Network
from gazenas.models.zoo import build_supernet
from gazenas.search import unit_groups
from gazenas.search.controller import Controller
from gazenas.search.importance.sensitivity import Sensitivity
from gazenas.search.schedule import plan_schedule
from gazenas.search.shrinking import remove
from gazenas.search.targets import Targets, make_plan
from gazenas.training.processes import ALONE


def controller_of(network: Network, macs: str, *, at_most: float = 0.5, **others: str) -> Controller:
    plan = make_plan(Targets({"macs": macs} | others), network)
    schedule = plan_schedule(plan.full, plan.waypoints, epochs=12, epoch_steps=10, every=0.5, begin=0.04, end=0.25)
    return Controller(plan, schedule, "alpha", at_most, ALONE)


@pytest.mark.parametrize("macs", ["4.5M", "9.15M", "18M"])
def test_the_supernet_begins_under_twice_its_budget_and_alike_everywhere(macs: str) -> None:
    network = build_supernet("gazenas_fast_tiny")
    full = {group.name: len(group) for group in unit_groups(network)}
    controller = controller_of(network, macs)
    (target,) = controller.plan.waypoints[0]
    keep = controller.narrow(network, 2.0)
    assert keep is not None
    remove(network, keep)
    assert 1.5 * target < count_macs(network, 64) <= 2 * target
    shares = [len(group) / full[group.name] for group in unit_groups(network)]
    rounding = max(4 / count for count in full.values())  # half of a multiple of eight
    assert max(shares) - min(shares) <= 2 * rounding
    assert all(len(group) % 8 == 0 for group in unit_groups(network))


def test_of_two_budgets_neither_is_undercut_before_anything_is_chosen() -> None:
    """Thinned alike, the paper's space at twice its parameters has two fifths of its MACs."""
    network = build_supernet("gazenas")
    controller = controller_of(network, "280M", params="1.027M")
    keep = controller.narrow(network, 2.0)
    assert keep is not None
    remove(network, keep)
    assert 1.5 * 280e6 < count_macs(network, 224) <= 2 * 280e6
    assert count_params(network) > 2 * 1.027e6


def test_a_space_that_is_small_enough_is_not_thinned(any_net: Network) -> None:
    assert controller_of(any_net, "60%").narrow(any_net, 2.0) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_share_of_every_group_stays_until_the_budget_asks_for_it(seed: int) -> None:
    torch.manual_seed(seed)
    network = build_supernet("gazenas_fast_tiny")
    for group in unit_groups(network):
        group.alpha.data.uniform_(0, 1)
        if group.kind == "hidden":
            group.alpha.data.mul_(1e-3)  # all of these would go first
    before = {group.key: len(group) for group in unit_groups(network)}
    controller = controller_of(network, "35%", at_most=1.0)
    controller.set_floors(network, 0.6, 0.25)
    end = controller.schedule.shrinks[-1]
    keep = controller.drop_unused(
        network, Sensitivity(network), end, {g.name: g.alpha < 0 for g in unit_groups(network)}
    )
    assert keep is not None
    for group in unit_groups(network):
        share = 0.6 if group.is_stream else 0.25
        assert int(keep[group.name].sum()) >= share * before[group.key], group.name
    controller.floors = {}
    free = controller.drop_unused(
        network, Sensitivity(network), end, {g.name: g.alpha < 0 for g in unit_groups(network)}
    )
    assert free is not None
    assert any(int(free[g.name].sum()) < 0.25 * len(g) for g in unit_groups(network) if g.kind == "hidden")
    tight = controller_of(network, "8%", at_most=1.0)
    tight.set_floors(network, 0.6, 0.25)
    shrunk = copy.deepcopy(network)
    remove(
        shrunk, tight._cut(network, {g.name: g.alpha for g in unit_groups(network)}, tight.plan.waypoints[0], True, 1.0)
    )
    assert count_macs(shrunk, 64) <= tight.plan.waypoints[0][0]


def test_at_most_half_of_a_group_leaves_at_once() -> None:
    torch.manual_seed(0)
    network = build_supernet("gazenas_fast_tiny")
    for group in unit_groups(network):
        group.alpha.data.uniform_(0, 1)
        if group.name.startswith("stage1.parallel"):
            group.alpha.data.zero_()
    controller = controller_of(network, "40%")
    first = controller.choose(network, Sensitivity(network), controller.schedule.shrinks[0])
    assert first is not None
    assert all(int(mask.sum()) >= len(mask) // 2 for mask in first.values())
    assert any(int(mask.sum()) == len(mask) // 2 for mask in first.values())
