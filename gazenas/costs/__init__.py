"""Quantities: what a network takes, one a file.

``COSTS`` maps the names used on the command line to functions of a part of a network and of the network's widths. What a unit saves is
the difference that it makes; a new quantity is one file and one line here.
"""

from collections.abc import Callable

from gazenas.costs.latency.cost import latency
from gazenas.costs.macs import macs
from gazenas.costs.paper import paper
from gazenas.costs.params import params
from gazenas.models.parts import NetworkWidths, Part

CostMetric = Callable[[Part, NetworkWidths], float]

COSTS: dict[str, CostMetric] = {
    "macs": macs,
    "params": params,
    "paper": paper,
    "latency": latency,
}
