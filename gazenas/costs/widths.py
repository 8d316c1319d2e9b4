"""Widths of networks that do not exist yet: with every unit gone, and the architecture that widths describe."""

from __future__ import annotations

from gazenas.models.network import Network
from gazenas.models.parts import NetworkWidths
from gazenas.space.architecture import Architecture
from gazenas.space.search_space import CHANNEL, STREAM


def empty_widths(network: Network) -> dict[str, dict[str, dict[str, int]]]:
    """Units by block, operator and group with every unit gone that can go."""
    least = {CHANNEL: network.space.least_stream_width}
    return {
        name: {
            operator: least if operator == STREAM else dict.fromkeys(groups, 0) for operator, groups in block.items()
        }
        for name, block in network.widths().items()
    }


def architecture_with(network: Network, widths: NetworkWidths) -> Architecture:
    """The architecture of ``network`` once it has ``widths``."""
    return network.architecture().with_counts(lambda block, operator, group, units: widths[block][operator][group])
