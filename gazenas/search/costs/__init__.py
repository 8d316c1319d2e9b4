"""Quantities: what a network takes, one a file.

``COSTS`` maps the names used on the command line to functions of a part of a network and of the network's widths. What a unit saves is
the difference that it makes; a new quantity is one file and one line here.
"""

from collections.abc import Callable

from gazenas.models.parts import NetworkWidths, Part
from gazenas.search.costs.latency import latency
from gazenas.search.costs.macs import macs
from gazenas.search.costs.paper import paper
from gazenas.search.costs.params import params

CostMetric = Callable[[Part, NetworkWidths], float]

COSTS: dict[str, CostMetric] = {
    "macs": macs,
    "params": params,
    "paper": paper,
    "latency": latency,
}
