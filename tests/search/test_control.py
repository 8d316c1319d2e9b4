"""The schedule, and pressing the losers to zero before they go."""

from __future__ import annotations

import copy

import pytest
import torch

from gazenas.costs.macs import MACS
from gazenas.counting import count_macs
from gazenas.errors import InputError
from gazenas.models.network import Network
from gazenas.search import unit_groups
from gazenas.search.schedule import Losers, Schedule, plan_schedule
from gazenas.search.selection import cut
from gazenas.search.shrinking import shrink


def plan(full: list[float], points: list[tuple[float, ...]], epochs: int, every: float = 1.0) -> Schedule:
    return plan_schedule(full, points, epochs=epochs, epoch_steps=7, every=every, begin=0.2, end=0.7)


@pytest.mark.parametrize("every", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 12, 50])
def test_schedule_falls_to_the_target(epochs: int, every: float) -> None:
    schedule = plan([1000.0], [(300.0,)], epochs, every)
    remaining = [schedule.remaining(epoch)[0] for epoch in schedule.shrinks]  # type: ignore[index]
    assert remaining[-1] == 300
    assert remaining == sorted(remaining, reverse=True)
    assert 1 <= min(schedule.shrinks) <= max(schedule.shrinks) <= 7 * max(1, min(epochs, 0.7 * epochs + every))
    intervals = [schedule.next_interval(done) for done in range(len(schedule.shrinks))]
    assert [interval[1] for interval in intervals] == list(schedule.shrinks)  # type: ignore[index]
    assert [i[0] for i in intervals[1:]] == list(schedule.shrinks[:-1])  # type: ignore[index]
    assert schedule.next_interval(len(schedule.shrinks)) is None
    assert [schedule.arrives(epoch) for epoch in schedule.shrinks][-1] == 0
    assert schedule.remaining(7 * epochs + 1) is None


@pytest.mark.parametrize(("epochs", "count"), [(10, 1), (10, 2), (10, 3), (10, 5), (20, 4)])
def test_a_family_is_passed_in_order(epochs: int, count: int) -> None:
    points = [(900.0 - 100 * number, 90.0 - 10 * number) for number in range(count)]
    schedule = plan([1000.0, 100.0], points, epochs)
    arrivals = {schedule.arrives(epoch): schedule.remaining(epoch) for epoch in schedule.shrinks}
    assert {leg: amounts for leg, amounts in arrivals.items() if leg is not None} == dict(enumerate(points))
    amounts = [schedule.remaining(epoch) for epoch in schedule.shrinks]
    assert amounts == sorted(amounts, reverse=True)  # type: ignore[type-var]


def test_too_many_budgets_for_the_epochs() -> None:
    with pytest.raises(InputError, match=r"5 budgets need as many shrinks, 5 epochs have 3"):
        plan([1000.0], [(900.0 - n,) for n in range(5)], 5)


def test_pressed_losers_are_zero_before_they_go_and_removing_them_moves_nothing(micro_net: Network) -> None:
    target = 0.6 * count_macs(micro_net, 32)
    groups = unit_groups(micro_net)
    score = {group.name: group.alpha.detach().abs() * group.cost() for group in groups}
    keep = cut(micro_net, groups, score, [MACS.of(micro_net)], [target])
    losers = Losers(micro_net, keep, 0.75)
    before = {group.name: group.alpha.detach().clone() for group in groups}
    losers.press(0.4)
    for group in groups:
        stays = keep[group.name]
        assert torch.equal(group.alpha[stays], before[group.name][stays])
        assert bool((group.alpha[~stays].abs() > 0).all())
        assert bool((group.alpha[~stays].abs() < before[group.name][~stays].abs()).all())
    again = Losers.from_state(copy.deepcopy(micro_net), losers.state())
    again.press(0.8)
    losers.press(0.8)
    assert all(torch.equal(a, b) for a, b in zip(losers.alphas, again.alphas, strict=True))
    images = torch.randn(2, 3, 32, 32)
    pressed = micro_net.eval()(images)
    shrink(micro_net, 0.0)
    assert 0.97 * target <= count_macs(micro_net, 32) <= target
    torch.testing.assert_close(micro_net(images), pressed, rtol=0, atol=1e-5)
