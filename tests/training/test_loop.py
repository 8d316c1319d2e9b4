"""A step, and predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gazenas.data.loader import Batch
from gazenas.models.network import Network
from gazenas.training.loop import NonFiniteLossError, eval_mode, predict, train_step


def batch(value: float = 0.0) -> Batch:
    return Batch(torch.full((4, 3, 32, 32), value), torch.zeros(4, 2), np.arange(4))


def objective(output: Tensor, batch: Batch) -> dict[str, Tensor]:
    return {"gaze": (output - batch.labels).abs().mean()}


def test_a_non_finite_loss_stops_before_the_weights_change(micro_net: Network) -> None:
    before = [parameter.detach().clone() for parameter in micro_net.parameters()]
    optimizer = torch.optim.SGD(micro_net.parameters(), 1.0)
    with pytest.raises(
        NonFiniteLossError, match=r"the loss is not finite: {'gaze': nan.*rows of the batch: \[0, 1, 2, 3\]"
    ):
        train_step(micro_net, batch(float("nan")), optimizer, objective)
    assert all(torch.equal(a, b) for a, b in zip(before, micro_net.parameters(), strict=True))


def test_a_non_finite_gradient_stops_before_the_weights_change() -> None:
    """The square root of 0 is finite, its slope is not."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    given = Batch(torch.ones(1, 1), torch.zeros(1, 1), np.arange(1))
    with pytest.raises(NonFiniteLossError, match=r"a gradient is not finite: {'root': 0.0}"):
        train_step(
            layer, given, torch.optim.SGD(layer.parameters(), 1.0), lambda output, _: {"root": output.sqrt().sum()}
        )
    assert float(layer.weight.detach()) == 0.0


def test_losses_are_added_and_a_share_counts_by_its_size(micro_net: Network) -> None:
    optimizer = torch.optim.SGD(micro_net.train().parameters(), 0.0)
    whole = train_step(micro_net, batch(1.0), optimizer, objective)
    gradients = [parameter.grad.clone() for parameter in micro_net.parameters() if parameter.grad is not None]
    share = batch(1.0)
    share.weight = 0.5
    values = train_step(micro_net, share, optimizer, objective, extra_losses=lambda: {"penalty": torch.tensor(2.0)})
    assert values == {"gaze": pytest.approx(whole["gaze"] / 2, rel=1e-6), "penalty": 2.0}
    found = [parameter.grad for parameter in micro_net.parameters() if parameter.grad is not None]
    torch.testing.assert_close(found, [0.5 * gradient for gradient in gradients])


def test_predict_is_in_eval_mode_and_restores_it(micro_net: Network) -> None:
    micro_net.train()
    found = predict(micro_net, [batch(), batch(1.0)])
    assert micro_net.training
    with torch.no_grad():
        expected = micro_net.eval()(torch.cat([batch().images, batch(1.0).images]))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_a_frozen_part_stays_frozen_also_where_a_prediction_fails() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2), nn.BatchNorm1d(2)).train()
    network[2].eval()
    given = Batch(torch.zeros(4, 3, 1, 1), torch.zeros(4, 2), np.arange(4))
    predict(network, [given])
    assert [module.training for module in network] == [True, True, False]
    given.images = torch.zeros(4, 5, 1, 1)
    with pytest.raises(RuntimeError):
        predict(network, [given])
    assert [module.training for module in network] == [True, True, False]
    with eval_mode(network):
        assert not any(module.training for module in network.modules())
