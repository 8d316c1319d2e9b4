"""First-order estimate of what the loss gains when a unit goes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from gazenas.models.network import Network
from gazenas.search.units import unit_groups


def taylor_score(network: Network, sensitivity: Mapping[str, Tensor], costs: Mapping[str, float]) -> dict[str, Tensor]:
    """First-order estimate of the loss's change (Molchanov et al., CVPR 2019): root mean square of ``alpha *
    dL/dalpha``.

    Raises:
        KeyError: where a group's sensitivity was not accumulated.
    """
    return {group.name: sensitivity[group.name].sqrt() for group in unit_groups(network)}
