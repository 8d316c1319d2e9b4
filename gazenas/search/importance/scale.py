"""The scale of importance factors, which nothing else fixes where a normalization follows."""

from __future__ import annotations

import torch
from torch import Tensor

from gazenas.models.network import Network


@torch.no_grad()
def pin_scale(network: Network) -> None:
    """Moves the largest abs(alpha) of every operator into its projection, so that it is 1, in place; the function
    stays.

    Operators are left out whose factors do more than scale, such as tokens, whose factors also weigh them inside the
    attention.

    Args:
        network: a supernet.
    """
    for block in network.blocks().values():
        for operator in block.operators().values():
            groups = [units for units in operator.units() if units.linear]
            largest = torch.cat([units.alpha for units in groups]).abs().max() if groups else torch.zeros(())
            if not largest > 0:
                continue
            for units in groups:
                assert units.projection is not None, f"{units.kind}: linear units have a projection"
                weight: Tensor = getattr(units.projection.module, units.projection.name)
                weight.narrow(units.projection.dim, units.projection.start, units.alpha.numel()).mul_(largest)
                units.alpha.div_(largest)
