"""Exact MACs of one image."""

from __future__ import annotations

from gazenas.costs.quantity import Quantity
from gazenas.counting import count_macs
from gazenas.models.network import Network
from gazenas.models.parts import NetworkWidths, Part


def macs(part: Part, widths: NetworkWidths) -> float:
    """MACs, without what is the same at all widths."""
    return part.macs(widths)


def network_macs(network: Network) -> float:
    """MACs of a network for one image."""
    return count_macs(network, network.input_size)


MACS = Quantity(
    "macs",
    "MACs",
    macs,
    budget="macs",
    help="MACs of the found network: 12000000, 12M, 1.2G or 40% of the supernet",
    whole=network_macs,
)
