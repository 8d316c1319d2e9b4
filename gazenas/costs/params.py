"""Exact parameters of the frozen network."""

from __future__ import annotations

from gazenas.costs.quantity import Quantity
from gazenas.counting import count_params
from gazenas.models.freezing import freeze
from gazenas.models.network import Network
from gazenas.models.parts import NetworkWidths, Part


def params(part: Part, widths: NetworkWidths) -> float:
    """Parameters, without what is the same at all widths."""
    return part.params(widths)


def frozen_params(network: Network) -> float:
    """Parameters of a network once it is frozen."""
    return count_params(freeze(network))


PARAMS = Quantity(
    "params",
    "parameters",
    params,
    budget="params",
    help="parameters of the found network: 300000, 300k or 40%",
    whole=frozen_params,
)
