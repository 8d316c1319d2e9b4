"""Cost metrics: what removing one unit saves, one metric a file.

``COSTS`` maps the names used on the command line to functions of a block's site, an operator's name, a unit group and
the block's widths; a new metric is one file and one line here.
"""

from collections.abc import Callable

from gazenas.models.search_block import BlockWidths
from gazenas.search.costs.latency import latency
from gazenas.search.costs.macs import macs
from gazenas.search.costs.paper import paper
from gazenas.search.costs.params import params
from gazenas.search.costs.site import Site

CostMetric = Callable[[Site, str, str, BlockWidths], float]

COSTS: dict[str, CostMetric] = {
    "macs": macs,
    "params": params,
    "paper": paper,
    "latency": latency,
}
