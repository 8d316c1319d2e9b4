"""Cost metrics: what removing one unit saves, one metric a file.

``COSTS`` maps the names used on the command line to functions of a block, an operator's name, a unit group,
the block's widths, and its input's height and width; a new metric is one file and one line here.
"""

from collections.abc import Callable

from gazenas.models.search_block import BlockWidths, SearchBlock
from gazenas.search.costs.macs import macs
from gazenas.search.costs.paper import paper
from gazenas.search.costs.params import params

CostMetric = Callable[[SearchBlock, str, str, BlockWidths, int, int], int]

COSTS: dict[str, CostMetric] = {
    "macs": macs,
    "params": params,
    "paper": paper,
}
