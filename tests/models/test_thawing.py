"""Importance factors put back on a trained subnet: the same function, the same architecture, ready for the search."""

from __future__ import annotations

import torch

from gazenas.models.freezing import freeze
from gazenas.models.network import Network
from gazenas.models.thawing import thaw
from gazenas.models.zoo import build_subnet
from gazenas.search.shrinking import remove
from gazenas.search.units import unit_groups
from tests.running import disturb


def images(network: Network) -> torch.Tensor:
    return torch.randn(3, 3, network.input_size, network.input_size)


@torch.no_grad()
def test_the_function_stays(any_net: Network) -> None:
    """Also where whole paths were lost, and where weights of keys were trained away from what was folded."""
    groups = unit_groups(any_net)
    for group in groups:
        group.alpha.copy_(torch.rand(len(group)) + 0.2)
    keep = {group.name: torch.arange(len(group)) < max(group.least, len(group) - 1) for group in groups}
    gone = [group.name for group in groups if not group.is_stream][:2]
    keep |= {name: torch.zeros_like(keep[name]) for name in gone}
    remove(any_net, keep)
    subnet = disturb(freeze(any_net)).eval()
    thawed, x = thaw(subnet), images(any_net)
    assert thawed.architecture() == subnet.architecture()
    assert unit_groups(thawed)
    before = subnet(x)
    assert torch.allclose(thawed(x), before, atol=1e-5)
    assert torch.allclose(freeze(thawed)(x), before, atol=1e-5)
    assert not thawed.training


@torch.no_grad()
def test_a_key_of_no_weight_is_allowed(micro_net: Network) -> None:
    subnet = freeze(micro_net).eval()
    weights = [parameter for name, parameter in subnet.named_parameters() if name.endswith("key_weight")]
    assert weights
    for weight in weights:
        weight[0] = 0.0
        weight[1].neg_()
    x = images(subnet)
    assert torch.allclose(thaw(subnet)(x), subnet(x), atol=1e-4)


@torch.no_grad()
def test_what_is_thawed_shrinks_as_the_search_does(any_net: Network) -> None:
    """A unit at zero leaves without a trace."""
    subnet = build_subnet(any_net.architecture()).eval()
    thawed = thaw(disturb(subnet))
    groups = unit_groups(thawed)
    for group in groups:
        group.alpha[: (len(group) - group.least) // 2] = 0.0
    x = images(subnet)
    before = thawed(x)
    remove(thawed, {group.name: group.alpha.detach() != 0 for group in groups})
    assert torch.allclose(thawed(x), before, atol=1e-5)
