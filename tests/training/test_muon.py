"""Muon: its iteration against singular values, its AdamW against torch's, and its moments through a shrink."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from gazenas.models.build import build_network
from gazenas.models.network import Network
from gazenas.search import unit_groups
from gazenas.search.shrinking import shrink
from gazenas.training.muon import COEFFICIENTS, ITERATIONS, Muon, orthogonalized
from gazenas.training.recipe import TrainingRecipe


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (12, 12), (1, 9)])
def test_the_iteration_moves_singular_values_alone(shape: tuple[int, int]) -> None:
    """Against the quintic applied to each singular value."""
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    values = values / values.norm()
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        values = a * values + b * values**3 + c * values**5
    torch.testing.assert_close(orthogonalized(matrix), left * values @ right, rtol=1e-6, atol=1e-6)


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Linear(16, 2)
    )


def train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        (network(torch.randn(8, 3, 6, 6, generator=generator)) - 1).abs().mean().backward()
        optimizer.step()


def test_what_is_no_inner_matrix_is_trained_by_adamw() -> None:
    """The first convolution, the last layer, biases and normalization; with the matrices held still, as torch's AdamW
    does it."""
    one, other = layers(), layers()
    for network in (one, other):
        network[3].weight.requires_grad_(False)
    recipe = TrainingRecipe(optimizer="muon", weight_decay=0.1)
    train(one, recipe.make_optimizer(one))
    train(other, torch.optim.AdamW(other.parameters(), lr=recipe.lr, weight_decay=0.1))
    for (name, mine), theirs in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, msg=name)


def test_a_matrix_moves_along_its_orthogonalized_momentum() -> None:
    network = layers()
    optimizer = TrainingRecipe(optimizer="muon", lr=0.01, weight_decay=0.5).make_optimizer(network)
    assert isinstance(optimizer, Muon)
    before = network[3].weight.detach().clone()
    train(network, optimizer, steps=1)
    gradient = network[3].weight.grad
    assert gradient is not None, "gradients stay"
    direction = gradient * (1 - optimizer.momentum) * (1 + optimizer.momentum)  # its scale does not matter
    lr = 0.01 * optimizer.ratio
    expected = before * (1 - lr * 0.5) - lr * orthogonalized(direction.flatten(1)).view_as(before)
    torch.testing.assert_close(network[3].weight.detach(), expected)


def test_going_on_from_its_state_gives_the_same_bytes() -> None:
    network = layers()
    optimizer = TrainingRecipe(optimizer="muon").make_optimizer(network)
    train(network, optimizer)
    twin = copy.deepcopy(network)
    again = TrainingRecipe(optimizer="muon").make_optimizer(twin)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for each, its in ((network, optimizer), (twin, again)):
        train(each, its)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), twin.parameters(), strict=True))


def test_moments_follow_a_shrink(any_net: Network) -> None:
    network = any_net.train()
    optimizer = TrainingRecipe(optimizer="muon").make_optimizer(network, network.importances(), 1e-3)
    images = torch.randn(6, 3, 32, 32)

    def step() -> None:
        optimizer.zero_grad()
        (network(images) - 0.3).abs().mean().backward()
        optimizer.step()

    step()
    for group in unit_groups(network):
        group.alpha.data[len(group) // 2 :] = 0
    shrink(network, 0.0, optimizer=optimizer)
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert {id(parameter) for parameter in held} == {id(parameter) for parameter in network.parameters()}
    buffers = [(p, s["momentum_buffer"]) for p, s in optimizer.state.items() if "momentum_buffer" in s]
    assert buffers
    assert all(buffer.shape == parameter.shape for parameter, buffer in buffers)
    step()
    assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())


def test_the_groups_of_a_shrunk_network_are_those_of_one_built_anew(any_net: Network) -> None:
    """Down to single channels, where a depthwise convolution looks like a dense one and an inner layer like the
    first."""
    optimizer = TrainingRecipe(optimizer="muon").make_optimizer(any_net, any_net.importances(), 1e-3)
    for index, group in enumerate(unit_groups(any_net)):
        group.alpha.data[1 + index % 3 :] = 0
    shrink(any_net, 0.0, optimizer=optimizer)
    anew = build_network(any_net.architecture(), importance=True)
    again = TrainingRecipe(optimizer="muon").make_optimizer(anew, anew.importances(), 1e-3)
    for mine, theirs in zip(optimizer.param_groups, again.param_groups, strict=True):
        assert [p.shape for p in mine["params"]] == [p.shape for p in theirs["params"]]
