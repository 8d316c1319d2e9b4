"""Arriving at a budget: targets, schedule, ranking, pressing."""

import copy

import pytest
import torch

from gazenas.architecture import InputError
from gazenas.counting import count_macs
from gazenas.models.network import Network
from gazenas.search import shrink, unit_groups
from gazenas.search.control import (
    Losers,
    cheapest_cut,
    check_target,
    fixed_macs,
    macs_left,
    parse_target,
    plan_schedule,
)
from gazenas.search.recalibrate import recalibrate
from gazenas.search.shrink import remove


@pytest.mark.parametrize(
    ("text", "macs"),
    [("12000000", 12_000_000), ("12M", 12_000_000), ("1.2G", 1_200_000_000), ("40%", 400), ("500k", 500_000)],
)
def test_target_spellings(text: str, macs: int) -> None:
    assert parse_target(text, 1000) == macs


@pytest.mark.parametrize("text", ["", "M", "12 apples", "-3M", "nan", "0"])
def test_bad_targets(text: str) -> None:
    with pytest.raises(InputError, match="--target-macs"):
        parse_target(text, 1000)


def test_target_out_of_reach_names_both_ends(micro_net: Network) -> None:
    full, floor = count_macs(micro_net, 32), fixed_macs(micro_net)
    for target in (full, floor - 1):
        with pytest.raises(InputError) as error:
            check_target(micro_net, target)
        assert f"{floor:,}" in str(error.value)
        assert f"{full:,}" in str(error.value)
    check_target(micro_net, floor)


def test_floor_is_what_remains_with_every_unit_gone(micro_net: Network) -> None:
    floor = fixed_macs(micro_net)
    for alpha in micro_net.importances():
        alpha.data.zero_()
    shrink(micro_net, 0.0)
    assert count_macs(micro_net, 32) == floor


@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 12, 50])
def test_schedule_falls_to_the_target(epochs: int) -> None:
    schedule = plan_schedule(1000, 300, epochs, 1)
    remaining = [schedule.remaining(epoch) for epoch in schedule.shrinks]
    assert remaining[-1] == 300
    assert remaining == sorted(remaining, reverse=True)  # type: ignore[type-var]
    assert max(schedule.shrinks) < epochs


@pytest.mark.parametrize("share", [0.15, 0.4, 0.9])
def test_cheapest_cut_is_a_prefix_of_the_ranking_and_ends_just_below(micro_net: Network, share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    for alpha in micro_net.importances():
        alpha.data = torch.rand(alpha.shape, generator=generator)
    floor, full = fixed_macs(micro_net), count_macs(micro_net, 32)
    target = round(floor + share * (full - floor))
    groups = unit_groups(micro_net)
    keep = cheapest_cut(micro_net, groups, target)
    lost = [value for group in groups for value in group.alpha[~keep[group.name]].tolist()]
    stays = [value for group in groups for value in group.alpha[keep[group.name]].tolist()]
    assert max(lost) <= min(stays)
    left = macs_left(micro_net, groups, keep)
    for group in groups:  # with the last loser kept, it would be too much
        keep[group.name] |= group.alpha == max(lost)
    assert macs_left(micro_net, groups, keep) > target >= left
    shrunk = copy.deepcopy(micro_net)
    remove(shrunk, cheapest_cut(shrunk, unit_groups(shrunk), target))
    assert count_macs(shrunk, 32) == left


def test_pressed_losers_are_zero_before_they_go_and_removing_them_moves_nothing(micro_net: Network) -> None:
    floor, full = fixed_macs(micro_net), count_macs(micro_net, 32)
    target = (floor + full) // 2
    losers = Losers(micro_net, target)
    losers.press(0.4)
    assert all(
        bool((group.alpha[~keep].abs() > 0).all())
        for group, keep in zip(losers.groups, losers.keep.values(), strict=True)
    )
    losers.press(0.8)
    images = torch.randn(2, 3, 32, 32)
    before = micro_net.eval()(images)
    shrink(micro_net, 0.0)
    assert 0.98 * target - 5000 <= count_macs(micro_net, 32) <= target
    torch.testing.assert_close(micro_net(images), before, rtol=0, atol=1e-5)


def test_recalibrate_gives_the_statistics_of_the_images() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4)).train()
    batches = [torch.randn(8, 3, 6, 6) * 2 + 1 for _ in range(4)]
    recalibrate(network, batches)
    maps = [network[0](batch) for batch in batches]
    torch.testing.assert_close(network[1].running_mean, torch.stack([m.mean((0, 2, 3)) for m in maps]).mean(0))
    torch.testing.assert_close(
        network[1].running_var, torch.stack([m.transpose(0, 1).flatten(1).var(1) for m in maps]).mean(0)
    )
    assert network.training
    assert network[1].momentum == 0.1
    with pytest.raises(ValueError, match="at least one"):
        recalibrate(network, [])
