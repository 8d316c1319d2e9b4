"""Shrinking and freezing change nothing; training goes on through them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from gazenas.counting import count_macs, count_params
from gazenas.models.freezing import freeze
from gazenas.models.network import Network
from gazenas.models.zoo import build_subnet, build_supernet
from gazenas.ops.units import TensorSlice
from gazenas.search import unit_groups
from gazenas.search.shrinking import shrink, with_least
from gazenas.training.averaging import WeightAverage
from tests.running import disturb

Pattern = Callable[[int, torch.Tensor], torch.Tensor]


def random_units(index: int, alpha: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(index)
    return torch.rand(alpha.shape, generator=generator) < torch.rand((), generator=generator)


PATTERNS: dict[str, Pattern] = {
    "random": random_units,
    "nothing": lambda index, alpha: torch.zeros_like(alpha, dtype=torch.bool),
    "everything": lambda index, alpha: torch.ones_like(alpha, dtype=torch.bool),
    "whole groups": lambda index, alpha: torch.full(alpha.shape, index % 3 == 0),
    "all but one": lambda index, alpha: torch.arange(len(alpha)) > 0,
    "whole blocks": lambda index, alpha: torch.full(alpha.shape, (index // 4) % 2 == 0),
}


def zero(network: Network, pattern: Pattern) -> int:
    removed = 0
    for index, group in enumerate(unit_groups(network)):
        with torch.no_grad():
            mask = pattern(index, group.alpha)
            group.alpha[mask] = 0
            removed += min(int(mask.sum()), len(group) - group.least)
    return removed


def scatter_alphas(network: Network) -> None:
    """Importance factors of both signs, away from zero."""
    with torch.no_grad():
        for alpha in network.importances():
            alpha.copy_(torch.where(torch.rand_like(alpha) < 0.3, -1.0, 1.0) * (0.2 + torch.rand_like(alpha)))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_output_is_unchanged(
    any_net: Network, pattern: str, layout: torch.memory_format, dtype: torch.dtype, tolerance: float
) -> None:
    network = any_net.to(dtype).to(memory_format=layout).eval()
    scatter_alphas(network)
    images = torch.randn(3, 3, 32, 32, dtype=dtype)
    with torch.no_grad():
        full = network(images)
        removed = zero(network, PATTERNS[pattern])
        before = network(images)
        macs = count_macs(network, 32)
        report = shrink(network, 0.0)
        after = network(images)
        subnet = freeze(network)
        frozen = subnet(images)
        rebuilt = build_subnet(network.architecture()).to(dtype).eval()
        rebuilt.load_state_dict(subnet.state_dict())
        assert torch.equal(rebuilt(images), frozen)
    assert before.isfinite().all()
    assert (pattern == "nothing") == bool(torch.equal(full, before))
    assert report.units == removed
    assert report.macs_saved == macs - count_macs(network, 32)
    assert (before - after).abs().max() < tolerance
    assert (after - frozen).abs().max() < tolerance
    assert subnet.architecture() == network.architecture()
    assert count_macs(subnet, 32) == count_macs(network, 32)
    assert all(parameter.is_contiguous() for parameter in subnet.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "trials"), [("gazenas_tiny", 300), ("gazenas", 30), ("gazenas_fast_tiny", 300), ("gazenas_fast", 30)]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_shipped_spaces_over_random_patterns(name: str, trials: int, dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    base = disturb(build_supernet(name)).to(dtype).eval()
    images = torch.randn(1, 3, base.input_size, base.input_size, dtype=dtype)
    for trial in range(trials):
        network = copy.deepcopy(base)
        with torch.no_grad():
            full = network(images)
            zero(network, lambda index, alpha, trial=trial: random_units(1000 * trial + index, alpha))  # type: ignore[misc]
            before = network(images)
            shrink(network, 0.0)
            after = network(images)
            frozen = freeze(network)(images)
        assert all(bool(output.isfinite().all()) for output in (full, before, after, frozen))
        assert (full - before).abs().max() > 100 * tolerance
        assert (before - after).abs().max() < tolerance
        assert (after - frozen).abs().max() < tolerance


def test_freeze_leaves_its_argument_untouched(any_net: Network) -> None:
    before = {key: value.clone() for key, value in any_net.state_dict().items()}
    any_net.train()
    subnet = freeze(any_net)
    assert subnet.importances() == []
    assert any_net.training
    assert all(torch.equal(before[key], value) for key, value in any_net.state_dict().items())


OPTIMIZERS: dict[str, Callable[[Network], torch.optim.Optimizer]] = {
    "adam": lambda n: torch.optim.Adam(n.parameters(), 1e-3, amsgrad=True),
    "adamw fused": lambda n: torch.optim.AdamW(n.parameters(), 1e-3, fused=True),
    "rmsprop": lambda n: torch.optim.RMSprop(n.parameters(), 1e-3, momentum=0.9, centered=True),
    "sgd": lambda n: torch.optim.SGD(n.parameters(), 1e-3, momentum=0.9),
    "adagrad": lambda n: torch.optim.Adagrad(n.parameters(), 1e-3),
    "adadelta": lambda n: torch.optim.Adadelta(n.parameters(), 1e-3),
    "adamax": lambda n: torch.optim.Adamax(n.parameters(), 1e-3),
    "nadam": lambda n: torch.optim.NAdam(n.parameters(), 1e-3),
    "radam": lambda n: torch.optim.RAdam(n.parameters(), 1e-3),
    "rprop": lambda n: torch.optim.Rprop(n.parameters(), 1e-3),
    "asgd": lambda n: torch.optim.ASGD(n.parameters(), 1e-3),
    "adafactor": lambda n: torch.optim.Adafactor(n.parameters(), 1e-3),
}


def step(network: Network, optimizer: torch.optim.Optimizer, images: torch.Tensor) -> None:
    optimizer.zero_grad()
    (network(images) - 0.3).abs().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on(any_net: Network, name: str) -> None:
    network = any_net.train()
    optimizer = OPTIMIZERS[name](network)
    average = WeightAverage(network, limit=0.9)
    images = torch.randn(6, 3, 32, 32)
    for _ in range(2):
        step(network, optimizer, images)
        average.update(network)
    zero(network, random_units)
    zero(average.module, random_units)  # type: ignore[arg-type]
    kept = {group.name: with_least(group, group.alpha.detach() != 0) for group in unit_groups(network)}
    states = {}
    owners: dict[tuple[int, str], list[TensorSlice]] = {}
    for group in unit_groups(network):
        for piece in group.slices:
            owners.setdefault((id(piece.module), piece.name), []).append(piece)
    for group in unit_groups(network):
        for piece in group.slices:
            tensor = getattr(piece.module, piece.name) if piece.name in piece.module._parameters else None
            rows = [other for other in owners[id(piece.module), piece.name] if other.dim != 0]
            if tensor is not None and piece.dim == 0 and tensor.shape[0] == len(group) and not rows:
                state = {
                    k: v[kept[group.name]]
                    for k, v in optimizer.state[tensor].items()
                    if torch.is_tensor(v) and v.shape == tensor.shape
                }
                states[group.name, id(piece.module), piece.name] = (
                    piece.module,
                    tensor[kept[group.name]].clone(),
                    state,
                )
    shrink(network, 0.0, optimizer=optimizer, average=average)
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in network.parameters()}
    assert len(held) == len(list(network.parameters()))
    assert {id(p) for p in optimizer.state} <= {id(p) for p in held}
    for (group_name, _, key), (module, values, state) in states.items():
        if not bool(kept[group_name].any()):
            continue
        parameter = module._parameters[key]
        assert torch.equal(parameter, values)
        for entry, expected in state.items():
            assert torch.equal(optimizer.state[parameter][entry], expected)
    assert average.module.architecture() == network.architecture()  # type: ignore[operator]
    step(network, optimizer, images)
    average.update(network)


def test_next_step_equals_that_of_the_masked_network(any_net: Network) -> None:
    masked = any_net.double().train()
    images = torch.randn(6, 3, 32, 32, dtype=torch.float64)
    optimizers = [torch.optim.Adam(masked.parameters(), 1e-3)]
    for _ in range(2):
        step(masked, optimizers[0], images)
    zero(masked, random_units)
    dead = [(group.alpha, ~with_least(group, group.alpha.detach() != 0)) for group in unit_groups(masked)]
    # One deep copy of both, so that the copied optimizer holds the copied network's parameters.
    shrunk, optimizer = copy.deepcopy((masked, optimizers[0]))
    shrink(shrunk, 0.0, optimizer=optimizer)
    step(masked, optimizers[0], images)
    step(shrunk, optimizer, images)
    with torch.no_grad():
        for alpha, mask in dead:
            alpha[mask] = 0
    for network in (masked, shrunk):
        network.eval()
    with torch.no_grad():
        torch.testing.assert_close(masked(images), shrunk(images), rtol=0, atol=1e-9)


def test_a_shrink_that_removes_nothing_changes_nothing(any_net: Network) -> None:
    optimizer = torch.optim.Adam(any_net.parameters())
    step(any_net.train(), optimizer, torch.randn(4, 3, 32, 32))
    tensors = {key: (id(value), value.clone()) for key, value in any_net.named_parameters()}
    report = shrink(any_net, 0.0, optimizer=optimizer)
    assert report.units == report.macs_saved == report.params_saved == 0
    assert all(
        id(value) == tensors[key][0] and torch.equal(value, tensors[key][1])
        for key, value in any_net.named_parameters()
    )


def test_an_average_of_another_structure_is_refused_before_anything_changes(any_net: Network) -> None:
    average = WeightAverage(any_net, limit=0.9)
    zero(any_net, PATTERNS["whole groups"])
    shrink(any_net, 0.0)
    zero(any_net, PATTERNS["all but one"])
    size = count_params(any_net)
    with pytest.raises(ValueError, match="average: expected the structure"):
        shrink(any_net, 0.0, average=average)
    assert count_params(any_net) == size


@pytest.mark.parametrize("threshold", [-1.0, float("nan")])
def test_bad_threshold(any_net: Network, threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        shrink(any_net, threshold)
