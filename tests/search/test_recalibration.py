"""Recalibrating: statistics of the images, and those of before where it fails."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gazenas.search.recalibration import recalibrate


def test_recalibrate_gives_the_statistics_of_the_images() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
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


def test_what_fails_half_way_leaves_statistics_and_modes_as_they_were() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)).train()
    network[3].eval()
    network(torch.randn(8, 3, 6, 6))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(RuntimeError):
        recalibrate(network, [torch.randn(8, 3, 6, 6), torch.randn(8, 3, 1, 1)])
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [module.training for module in network] == [True, True, True, False]
    assert network[1].momentum == network[3].momentum == 0.1
