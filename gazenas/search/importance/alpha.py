"""An importance factor itself as the score of its unit."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gazenas.models.network import Network
from gazenas.search.units import unit_groups


@torch.no_grad()
def alpha_score(network: Network, sensitivity: Mapping[str, Tensor], costs: Mapping[str, float]) -> dict[str, Tensor]:
    """The paper's: ``abs(alpha)`` times what the unit costs, so that the ranking is by ``abs(alpha)`` alone."""
    return {group.name: group.alpha.detach().abs() * costs[group.name] for group in unit_groups(network)}
