"""From an ordinary network back to one with importance factors: the inverse of freezing."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from gazenas.models.build import build_network
from gazenas.models.network import Network
from gazenas.models.search_block import SearchBlock

LEAST_KEY = 1e-6  # of a token's weight as a key: with an importance factor of zero it could not be divided out


@torch.no_grad()
def thaw(subnet: Network) -> Network:
    """A copy with an importance factor on every unit that computes the same in eval mode.

    Factors are 1, but for tokens: theirs are the weights that their keys had, divided out of the projections around
    them. A block's bias becomes the constant of one of the paths that it lost.

    Args:
        subnet: left untouched.

    Returns:
        The network, in the subnet's mode; of the same architecture.
    """
    network = build_network(subnet.architecture(), importance=True, input_channels=subnet.input_channels)
    network.head = deepcopy(subnet.head)
    network = network.to(next(subnet.parameters()))
    state, given = network.state_dict(), subnet.state_dict()
    for name, value in given.items():
        if name in state:
            state[name].copy_(value)
    for name in given.keys() - state.keys():
        if name.endswith(".key_weight"):
            _thaw_tokens(state, name.removesuffix("key_weight"), given[name])
    blocks = network.blocks()
    for name, block in subnet.blocks().items():
        if block.bias is not None:
            _constant(blocks[name]).copy_(block.bias)
    return network.train(subnet.training)


def _thaw_tokens(state: dict[str, Tensor], prefix: str, key_weight: Tensor) -> None:
    """Makes importance factors of the weights that keys had."""
    sign = torch.where(key_weight < 0, -1.0, 1.0).to(key_weight)
    alpha = torch.where(key_weight.abs() < LEAST_KEY, sign * LEAST_KEY, key_weight)
    state[f"{prefix}alpha"].copy_(alpha)
    state[f"{prefix}project_norm.weight"].div_(alpha)
    state[f"{prefix}project_norm.bias"].div_(alpha)
    state[f"{prefix}restore.weight"].div_(alpha.view(1, -1, 1, 1))


def _constant(block: SearchBlock) -> Tensor:
    """What a path without units adds, to be written: the shift of its fresh closing BatchNorm."""
    empty = next(path for path in block.operators().values() if not any(path.widths().values()))
    return empty.norm.bias
