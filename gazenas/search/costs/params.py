"""Exact parameters that one unit adds to the frozen network, all that falls away with a last unit included."""

from __future__ import annotations

from gazenas.models.search_block import BlockWidths, one_fewer
from gazenas.search.costs.site import Site


def params(site: Site, operator: str, group: str, widths: BlockWidths) -> int:
    """Parameters of the block with ``widths`` minus those with one unit of ``group`` fewer."""
    return site.block.params(widths) - site.block.params(one_fewer(widths, operator, group))
