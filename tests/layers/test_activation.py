"""Every activation: silent at zero, and its deviation behind a BatchNorm by drawing."""

import pytest
import torch
from torch import nn

from gazenas.errors import InputError
from gazenas.layers.activation import ACTIVATIONS, Activation, activated_deviation, expect_activation


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_zero_stays_zero_and_in_place_is_the_same(name: str) -> None:
    torch.manual_seed(0)
    assert torch.equal(Activation(name)(torch.zeros(2, 3)), torch.zeros(2, 3))
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: ACTIVATIONS[name](x * 1, inplace=True), (x + 1e-3,))
    assert torch.equal(ACTIVATIONS[name](x.detach().clone(), inplace=True), Activation(name)(x))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_deviation_is_that_of_many_draws(name: str) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6).eval()
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([-1.0, -0.5, 0.0, 0.3, 1.0, 3.0]))
        norm.weight.copy_(torch.tensor([0.5, 1.0, -2.0, 0.01, 1.0, 0.1]))
        drawn = Activation(name)(norm(torch.randn(4_000, 6, 10, 10)))
        expected = drawn.transpose(0, 1).flatten(1).std(1)
    assert torch.allclose(activated_deviation(norm, name), expected, rtol=0.01, atol=1e-4)


def test_an_unknown_one_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="micro: activation: expected one of relu, silu, found 'tanh'"):
        expect_activation("tanh", "micro: activation")
