"""The paper's Delta (GazeNAS section 3.4): kernel area times map area, or O(n) - O(n - 1) for a token."""

from __future__ import annotations

from gazenas.models.search_block import BlockWidths
from gazenas.search.costs.site import Site


def paper(site: Site, operator: str, group: str, widths: BlockWidths) -> int:
    """What the paper charges for one unit of ``group``; it leaves out the pointwise convolutions around a kernel."""
    return site.block.operators()[operator].paper_cost(group, widths[operator], site.side, site.side)
