"""From a supernet to an ordinary network."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from gazenas.models.network import Network, as_network


@torch.no_grad()
def freeze(supernet: nn.Module) -> Network:
    """A copy without importance factors that computes the same in eval mode.

    Factors are multiplied into neighboring weights; a token's weight as a key becomes an ordinary parameter;
    the constants of emptied paths become one bias a block. Gradients are dropped, tensors are contiguous.

    Args:
        supernet: left untouched.

    Returns:
        The subnet, in the supernet's mode; ``build_subnet(supernet.architecture())`` takes its weights strictly.
    """
    network = as_network(supernet)
    subnet = deepcopy(network)
    subnet.eval()
    subnet.fold()
    for parameter in subnet.parameters():
        parameter.grad = None
        parameter.requires_grad_(True)
        # A copy, since contiguous() keeps the strides of a channels-last 1x1 kernel, and strides choose the arithmetic.
        parameter.data = torch.empty_like(parameter.data, memory_format=torch.contiguous_format).copy_(parameter.data)
    return subnet.train(network.training)
