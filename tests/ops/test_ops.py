"""Every operator in OPS: zero units contribute nothing, in value and in gradient."""

import copy
import itertools

import pytest
import torch

from gazenas.ops import OPS
from gazenas.ops.units import Extent, normalized_zero

SETTINGS = {
    "mixconv": {"kernels": [3, 5], "expansion": 2},
    "tokens": {"count": 5, "grid": 3},
    "conv": {"kernel": 3, "expansion": 2},
}


def build(name: str, *, stride: int = 1, importance: bool = True) -> torch.nn.Module:
    torch.manual_seed(0)
    settings = SETTINGS[name]
    widths = OPS[name].full_widths(4, **settings)
    return OPS[name](in_channels=4, out_channels=6, stride=stride, widths=widths, importance=importance, **settings)  # type: ignore[call-arg, return-value]


def test_every_operator_is_tested() -> None:
    assert set(SETTINGS) == set(OPS)


@pytest.mark.parametrize(("name", "stride"), list(itertools.product(SETTINGS, (1, 2))))
def test_shape_finite_gradients(name: str, stride: int) -> None:
    operator = build(name, stride=stride)
    out = operator(torch.randn(3, 4, 8, 8))
    assert out.shape == (3, 6, 8 // stride, 8 // stride)
    (out * torch.randn(out.shape)).sum().backward()
    for key, parameter in operator.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", SETTINGS)
def test_no_units_give_the_constant_and_finite_gradients(name: str) -> None:
    operator = build(name).train()
    with torch.no_grad():
        for parameter in [units.alpha for units in operator.units()]:  # type: ignore[operator]
            parameter.zero_()
    out = operator(torch.randn(3, 4, 8, 8))
    assert torch.allclose(out, normalized_zero(operator.norm).expand_as(out), atol=1e-6)  # type: ignore[arg-type]
    out.sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in operator.parameters())


@pytest.mark.parametrize("name", SETTINGS)
def test_params_by_formula(name: str) -> None:
    operator = build(name, importance=False)
    extent = Extent(4, 6, 8, 8)
    assert operator.params(operator.widths(), extent) == sum(p.numel() for p in operator.parameters())  # type: ignore[operator]


@pytest.mark.parametrize("name", SETTINGS)
def test_what_units_say_of_their_projection(name: str) -> None:
    """A factor can be moved into the projection's columns exactly where the group says so; each unit has a
    deviation."""
    operator = build(name).double().eval()
    x = torch.randn(3, 4, 8, 8, dtype=torch.float64)
    before = operator(x)
    assert {group: len(each) for group, each in operator.deviations().items()} == operator.widths()  # type: ignore[operator]
    for units in operator.units():  # type: ignore[operator]
        assert units.projection in units.slices
        changed = copy.deepcopy(operator)
        (twin,) = [each for each in changed.units() if each.group == units.group]  # type: ignore[operator]
        piece = twin.projection
        with torch.no_grad():
            twin.alpha.mul_(2)
            getattr(piece.module, piece.name).narrow(piece.dim, piece.start, twin.alpha.numel()).div_(2)
        assert torch.allclose(changed(x), before) == units.linear


def test_normalized_zero_in_training_equals_a_whole_zero_map() -> None:
    torch.manual_seed(0)
    norms = [torch.nn.BatchNorm2d(5), torch.nn.BatchNorm2d(5)]
    norms[1].load_state_dict(norms[0].state_dict())
    small, whole = normalized_zero(norms[0]), norms[1](torch.zeros(2, 5, 4, 4))
    assert torch.equal(small.expand_as(whole), whole)
    assert torch.equal(norms[0].running_var, norms[1].running_var)
