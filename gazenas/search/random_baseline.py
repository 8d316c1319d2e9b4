"""Architectures of the same space and budget that no search chose: what an honest search is measured against."""

from __future__ import annotations

import torch
from torch import Tensor

from gazenas.models.network import Network
from gazenas.search.units import unit_groups

UNIFORM = "uniform"
KINDS = (UNIFORM, "random")


def random_scores(network: Network, kind: str, costs: dict[str, float], seed: int) -> dict[str, Tensor]:
    """Importance scores by which ``gazenas.search.selection.cut`` thins a fresh supernet by chance.

    Args:
        network: a supernet at full width.
        kind: ``uniform`` leaves every unit group the same share of its units; ``random`` a share in proportion to
            a number drawn for the group between 0.05 and 1, up to all of them.
        costs: of one unit by group, which the cut divides by.
        seed: of the draw.
    """
    generator = torch.Generator().manual_seed(seed)
    scores = {}
    for group in unit_groups(network):
        share = 0.05 + 0.95 * float(torch.rand((), generator=generator)) if kind == "random" else 1.0
        quantile = torch.arange(1, len(group) + 1) / len(group)
        scores[group.name] = (share / quantile * costs[group.name]).to(group.alpha.device)
    return scores
