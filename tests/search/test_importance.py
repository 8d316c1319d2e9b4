"""Importances against what they stand for: measured deviations, finite differences, invariance, Adam's own step."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from gazenas.__main__ import main
from gazenas.models.network import Network
from gazenas.ops import OPS
from gazenas.search import unit_groups
from gazenas.search.importance import IMPORTANCES
from gazenas.search.importance.contribution import contributions
from gazenas.search.importance.scale import pin_scale
from gazenas.search.importance.sensitivity import DECAY, Sensitivity
from gazenas.search.regularization import Penalty, proximal_step
from gazenas.search.searching import Search
from tests.running import disturb, search


def test_contribution_is_the_deviation_that_a_channel_adds() -> None:
    torch.manual_seed(0)
    path = OPS["mixconv"](in_channels=3, out_channels=5, stride=1, widths={"3": 4, "5": 3}, importance=True)
    for parameter in path.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.5)
    images = torch.randn(64, 3, 24, 24)
    for norm in (path.expand_norm, path.depthwise_norm, path.norm):
        norm.momentum = None
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    path.train()
    with torch.no_grad():
        path(images)
    path.eval()
    found = torch.cat(list(contributions(path).values()))
    for channel in range(7):
        less = copy.deepcopy(path)
        with torch.no_grad():
            less.project.weight[:, channel] = 0
            difference = path(images) - less(images)
        measured = difference.var((0, 2, 3)).sum().sqrt()
        # The formula takes the activation before ReLU for normally distributed, which it is not quite.
        torch.testing.assert_close(found[channel], measured, rtol=0.25, atol=1e-3)


def test_contribution_and_taylor_do_not_see_a_common_factor(micro_net: Network) -> None:
    networks = [micro_net.train(), copy.deepcopy(micro_net)]
    with torch.no_grad():
        for block in networks[1].blocks().values():
            path = block.operators()["mixconv"]
            path.project.weight.mul_(4)  # type: ignore[attr-defined]
            for alpha in path.alphas.values():  # type: ignore[attr-defined]
                alpha.div_(4)
    images, found = torch.randn(4, 3, 32, 32), []
    for network in networks:
        sensitivity = Sensitivity(network)
        (network(images) - 0.2).abs().mean().backward()
        sensitivity.update()
        network.eval()
        costs = {group.name: 1.0 for group in unit_groups(network)}
        found.append({key: IMPORTANCES[key](network, sensitivity.means(), costs) for key in IMPORTANCES})
    for key in ("contribution", "taylor"):
        for group in unit_groups(networks[0]):
            if group.kind != "token":
                torch.testing.assert_close(
                    found[0][key][group.name], found[1][key][group.name], rtol=1e-3, atol=1e-7, msg=key
                )


def test_pinning_keeps_the_function_and_fixes_the_scale(micro_net: Network) -> None:
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for alpha in micro_net.importances():
            alpha.mul_(0.3)
        before = micro_net.eval()(images)
        pin_scale(micro_net)
        torch.testing.assert_close(micro_net(images), before, rtol=0, atol=1e-6)
    for block in micro_net.blocks().values():
        largest = max(float(units.alpha.detach().abs().max()) for units in block.operators()["mixconv"].units())
        assert largest == pytest.approx(1.0)


def test_sensitivity_predicts_what_a_small_change_of_alpha_does(micro_net: Network) -> None:
    network = micro_net.double().eval()
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)

    def loss() -> torch.Tensor:
        value: torch.Tensor = (network(images) - 0.2).square().mean()
        return value

    sensitivity = Sensitivity(network)
    loss().backward()
    sensitivity.update()
    group = unit_groups(network)[3]
    with torch.no_grad():
        alpha, step = group.alpha, 1e-6
        base, old = loss(), float(alpha[0])
        alpha[0] = old * (1 - step)
        change = float(loss() - base) / step
        alpha[0] = old
    assert float(sensitivity.means()[group.name][0].sqrt()) == pytest.approx(abs(change), rel=1e-3)


@pytest.mark.parametrize("weight", [0.1, 10.0])
def test_sensitivity_is_of_the_task_s_loss_alone(any_net: Network, weight: float) -> None:
    """Against the same network without a penalty."""
    images, free = torch.randn(4, 3, 32, 32), copy.deepcopy(any_net)
    found, expected = Sensitivity(any_net), Sensitivity(free)
    penalty = Penalty(any_net, "macs")
    ((any_net(images) - 0.2).abs().mean() + weight * penalty()).backward()
    found.update(penalty.gradients(weight))
    (free(images) - 0.2).abs().mean().backward()
    expected.update()
    for name, means in found.means().items():
        torch.testing.assert_close(means, expected.means()[name], rtol=1e-3, atol=1e-9 * weight**2, msg=name)


class EnoughSeenError(Exception):
    pass


def test_taylor_sees_no_penalty_in_a_search_by_l1(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda rises from 0, so that the second step's gradients are taken where a search without a penalty takes its
    own."""
    seen: list[list[torch.Tensor]] = []
    after_step = Search.after_step

    def noted(search: Search) -> None:
        for total in search.sensitivity.sums:
            total.zero_()
        after_step(search)
        if search.clock.steps == 2:
            alphas = search.network.importances()
            seen.append([(s / (1 - DECAY)).sqrt() / a.detach().abs() for s, a in zip(search.sensitivity.sums, alphas)])
            raise EnoughSeenError

    monkeypatch.setattr(Search, "after_step", noted)
    for weight in ("0.5", "0"):
        words = search(
            data_folder, tmp_path / weight, "--regularizer", "l1", "--lambda", weight, "--lambda-warm-up", "0"
        )
        with pytest.raises(EnoughSeenError):
            main(words)
    for with_penalty, without in zip(*seen, strict=True):
        torch.testing.assert_close(with_penalty, without, rtol=1e-3, atol=1e-6)


def test_sensitivity_is_an_unbiased_running_mean_and_outlives_a_shrink(micro_net: Network) -> None:
    sensitivity = Sensitivity(micro_net)
    group = unit_groups(micro_net)[0]
    squares = []
    for step in range(4):
        for alpha in micro_net.importances():
            alpha.grad = torch.full_like(alpha, float(step + 1))
        squares.append((group.alpha.detach() * (step + 1)) ** 2)
        sensitivity.update()
    weights = torch.tensor([DECAY ** (3 - step) for step in range(4)])
    expected = sum(weight * square for weight, square in zip(weights, squares, strict=True)) / weights.sum()
    torch.testing.assert_close(sensitivity.means()[group.name], expected)
    keep = {g.name: torch.arange(len(g)) % 2 == 0 for g in unit_groups(micro_net)}
    from gazenas.search.shrinking import remove

    remove(micro_net, keep)
    left = sensitivity.after_shrink(micro_net, keep)
    torch.testing.assert_close(left.means()[group.name], expected[keep[group.name]])


def test_proximal_step_is_adams_step_of_the_penalty_but_stops_at_zero() -> None:
    alpha = torch.nn.Parameter(torch.tensor([0.9, -0.8, 1e-7, 0.0]))
    optimizer = torch.optim.Adam([alpha], lr=0.01)
    for _ in range(3):
        alpha.grad = torch.tensor([0.5, 0.25, 1.0, 0.0])
        optimizer.step()
    before = alpha.detach().clone()
    cost = torch.tensor([1.0, 2.0, 1.0, 1.0])
    proximal_step([alpha], [cost], 0.1, optimizer)
    threshold = 0.01 * 0.1 * cost / (torch.tensor([0.5, 0.25, 1.0, 0.0]) + 1e-8)
    expected = before.sign() * (before.abs() - threshold).clamp_min(0)
    torch.testing.assert_close(alpha.detach(), expected)
    alpha.data[:] = threshold * torch.tensor([0.5, -0.5, 0.9, 0.0])
    proximal_step([alpha], [cost], 0.1, optimizer)
    assert torch.equal(alpha.detach(), torch.zeros(4))


def test_a_fresh_network_has_importances_of_every_kind(micro_net: Network) -> None:
    network = disturb(micro_net)
    costs = {group.name: 2.0 for group in unit_groups(network)}
    sensitivity = Sensitivity(network).means()
    for importance in IMPORTANCES.values():
        score = importance(network, sensitivity, costs)
        assert list(score) == [group.name for group in unit_groups(network)]
        assert all(bool((values >= 0).all()) and bool(values.isfinite().all()) for values in score.values())
