"""The penalty where nothing is left to press, and the proximal step against its formula."""

from __future__ import annotations

import pytest
import torch

from gazenas.models.network import Network
from gazenas.search import penalty, unit_groups
from gazenas.search.regularization import Penalty, proximal_step
from gazenas.search.shrinking import remove


def test_the_penalty_of_an_empty_network_is_a_zero_on_its_device(micro_net: Network) -> None:
    groups = unit_groups(micro_net)
    remove(micro_net, {group.name: torch.zeros(len(group), dtype=torch.bool) for group in groups})
    assert unit_groups(micro_net) == []
    assert float(penalty(micro_net)) == 0.0
    elsewhere = micro_net.to("meta")
    assert penalty(elsewhere).device.type == "meta"
    assert Penalty(elsewhere)().shape == ()


def test_the_proximal_step_is_its_formula_and_reads_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the formula of one factor; several parameter groups, whose step counts and rates differ."""
    torch.manual_seed(0)
    alphas = [torch.nn.Parameter(torch.rand(count) + 0.1) for count in (3, 5, 1)]
    costs = [torch.rand(alpha.shape) + 0.5 for alpha in alphas]
    groups = [{"params": alphas[:2], "lr": 0.01}, {"params": alphas[2:], "lr": 0.03, "betas": (0.9, 0.99), "eps": 1e-3}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
    for step in range(6):
        for alpha in alphas if step else alphas[:2]:
            alpha.grad = 0.1 * torch.randn(alpha.shape)
        optimizer.step()
    expected = []
    for number, (alpha, cost) in enumerate(zip(alphas, costs, strict=True)):
        lr, beta, eps, steps = (0.01, 0.999, 1e-8, 6) if number < 2 else (0.03, 0.99, 1e-3, 5)
        moment = optimizer.state[alpha]["exp_avg_sq"].double() / (1 - beta**steps)
        threshold = lr * 4.0 * cost.double() / (moment.sqrt() + eps)
        value = alpha.detach().double()
        expected.append(value.sign() * (value.abs() - threshold).clamp_min(0))
    with monkeypatch.context() as patch:
        for name in ("item", "__float__", "__bool__", "tolist"):
            patch.setattr(torch.Tensor, name, lambda self, *rest: pytest.fail("a number was read"))
        proximal_step(list(alphas), costs, 4.0, optimizer)
        proximal_step([], [], 4.0, optimizer)
    torch.testing.assert_close([alpha.detach().double() for alpha in alphas], expected, rtol=1e-5, atol=1e-7)
    assert any(bool((alpha == 0).any()) for alpha in alphas)
    assert any(bool((alpha != 0).any()) for alpha in alphas)
