"""The weight average."""

from __future__ import annotations

import torch

from gazenas.models.network import Network
from gazenas.training.averaging import WeightAverage


def test_average_follows_its_formula_and_copies_importances(micro_net: Network) -> None:
    average = WeightAverage(micro_net, limit=0.5)
    weight = micro_net.stem[0].weight  # type: ignore[index]
    expected = weight.detach().clone()
    for step in range(8):
        with torch.no_grad():
            weight.add_(1.0)
            micro_net.importances()[0].fill_(step)
        average.update(micro_net)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach()
    torch.testing.assert_close(average.module.stem[0].weight, expected)  # type: ignore[index, union-attr]
    assert torch.equal(average.module.importances()[0], micro_net.importances()[0])  # type: ignore[operator]


def test_without_an_average_the_network_itself_is_kept(micro_net: Network) -> None:
    average = WeightAverage(micro_net, limit=0.0)
    assert average.module is micro_net
    assert average.state() == {}
    before = [parameter.clone() for parameter in micro_net.parameters()]
    average.update(micro_net)
    average.load_state({})
    assert all(torch.equal(a, b) for a, b in zip(before, micro_net.parameters(), strict=True))
    assert all(parameter.requires_grad for parameter in micro_net.parameters())
