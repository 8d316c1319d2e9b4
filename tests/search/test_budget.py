"""Budgets: how they are written, and that what a resource says of a network is what is counted."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from gazenas.costs import COSTS
from gazenas.costs.budget import check_target, parse_amount
from gazenas.costs.macs import MACS
from gazenas.costs.params import PARAMS
from gazenas.costs.size import SIZE, exported_bytes
from gazenas.costs.widths import architecture_with, empty_widths
from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.models.freezing import freeze
from gazenas.models.network import Network
from gazenas.models.zoo import build_subnet, build_supernet
from gazenas.search import unit_groups
from gazenas.search.controller import Controller, widths_after
from gazenas.search.importance.sensitivity import Sensitivity
from gazenas.search.schedule import plan_schedule
from gazenas.search.shrinking import shrink
from gazenas.search.targets import Targets, make_plan
from gazenas.space.architecture import Architecture
from gazenas.space.search_space import SearchSpace
from gazenas.training.processes import ALONE
from tests.running import MICRO_CHAIN


@pytest.mark.parametrize(
    ("text", "amount"),
    [("12000000", 12_000_000), ("12M", 12_000_000), ("1.2G", 1_200_000_000), ("40%", 400), ("500k", 500_000)],
)
def test_spellings(text: str, amount: int) -> None:
    assert parse_amount(text, 1000, "--target-macs", MACS) == amount


@pytest.mark.parametrize("text", ["", "M", "12 apples", "-3M", "nan", "0"])
def test_bad_spellings(text: str) -> None:
    with pytest.raises(InputError, match="--target-macs"):
        parse_amount(text, 1000, "--target-macs", MACS)


@pytest.mark.parametrize("seed", range(3))
def test_resources_are_what_is_counted(any_net: Network, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    macs, params = MACS.of(any_net), PARAMS.of(any_net)
    shrunk = copy.deepcopy(any_net)
    for group in unit_groups(shrunk):
        group.alpha.data[torch.rand(len(group), generator=generator) < (0.0, 0.6, 1.0)[seed]] = 0
    shrink(shrunk, 0.0)
    for resource in (macs, MACS.of(shrunk)):
        assert resource.total(shrunk, shrunk.widths()) == count_macs(shrunk, 32)
    for resource in (params, PARAMS.of(shrunk)):
        assert resource.total(shrunk, shrunk.widths()) == count_params(freeze(shrunk))


def test_out_of_reach_names_both_ends(micro_net: Network) -> None:
    resource = MACS.of(micro_net)
    full, floor = count_macs(micro_net, 32), int(resource.floor(micro_net))
    for target in (full, floor - 1):
        with pytest.raises(InputError, match="--target-macs") as error:
            check_target(micro_net, resource, target, "--target-macs")
        assert f"{floor:,}" in str(error.value)
        assert f"{full:,}" in str(error.value)
    check_target(micro_net, resource, floor, "--target-macs")


def test_the_spaces_own_channel_multiple() -> None:
    assert make_plan(Targets({"macs": "50%"}), build_supernet(MICRO_CHAIN)).channel_multiple == 2


def test_a_space_with_nothing_to_search_is_refused(micro_space: SearchSpace) -> None:
    bare = replace(micro_space, fusion={}, parallel=({}, {}, {}))
    with pytest.raises(InputError, match="expected operators or streams to search"):
        make_plan(Targets({"macs": "50%"}), build_supernet(bare))


def test_plans(micro_net: Network) -> None:
    both = make_plan(Targets({"macs": "50%", "params": "60%"}), micro_net)
    assert list(both.targets) == ["macs", "params"]
    assert both.waypoints == [(round(0.5 * both.full[0]), round(0.6 * both.full[1]))]
    family = make_plan(Targets(family=("30%", "70%", "50%")), micro_net)
    assert family.labels == ["70%", "50%", "30%"]
    assert family.waypoints == sorted(family.waypoints, reverse=True)
    assert make_plan(Targets(), micro_net).waypoints == []
    assert both.channel_multiple == family.channel_multiple == 1
    assert make_plan(Targets({"macs": "50%"}, channel_multiple=4), micro_net).channel_multiple == 4
    with pytest.raises(InputError, match="--channel-multiple: expected a positive"):
        make_plan(Targets({"macs": "50%"}, channel_multiple=-4), micro_net)
    for targets in (
        Targets({"macs": "50%"}, family=("40%",)),
        Targets(family=("40%", "40%")),
        Targets({"params": "1"}),
        Targets({"macs": "100%"}),
    ):
        with pytest.raises(InputError, match="--target"):
            make_plan(targets, micro_net)


@pytest.mark.slow
def test_size_of_the_file_does_not_depend_on_weights(micro_net: Network) -> None:
    arch = micro_net.architecture()
    assert exported_bytes(arch) == exported_bytes(arch)
    size = make_plan(Targets({"size": "60%"}), micro_net)
    assert size.full == pytest.approx((exported_bytes(arch),))
    least = size.resources[0].total(micro_net, empty_widths(micro_net))
    assert least == pytest.approx(exported_bytes(architecture_with(micro_net, empty_widths(micro_net))))


def test_a_size_is_fitted_to_what_exports_measure(micro_net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a made-up exporter, whose files take bytes for every path besides those for parameters."""
    exports: list[str] = []

    def made_up(arch: Architecture) -> int:
        exports.append(arch.fingerprint())
        groups = [count for block in arch.kept.values() for operator in block.values() for count in operator.values()]
        return 20_000 + 300 * sum(count > 0 for count in groups) + 4 * count_params(build_subnet(arch))

    monkeypatch.setattr("gazenas.costs.size.exported_bytes", made_up)  # for the plan
    monkeypatch.setitem(COSTS, "size", replace(SIZE, measure=made_up))
    plan = make_plan(Targets({"size": "60%"}), micro_net)
    schedule = plan_schedule(plan.full, plan.waypoints, epochs=5, epoch_steps=1, every=1, begin=0.2, end=0.7)
    controller = Controller(plan, schedule, "contribution", 1.0, ALONE)
    keep = controller.choose(micro_net, Sensitivity(micro_net), schedule.shrinks[-1])
    assert keep is not None
    measured = made_up(architecture_with(micro_net, widths_after(micro_net, keep)))
    assert 0.98 * plan.waypoints[-1][0] <= measured <= plan.waypoints[-1][0]
    count = len(exports)
    repeated = controller.choose(micro_net, Sensitivity(micro_net), schedule.shrinks[-1])
    assert repeated is not None
    assert all(torch.equal(repeated[name], mask) for name, mask in keep.items())
    assert len(exports) == count  # what was measured before is known
