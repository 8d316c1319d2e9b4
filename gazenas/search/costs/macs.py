"""Exact MACs that one unit adds, all that falls away with a last unit included."""

from __future__ import annotations

from gazenas.models.search_block import BlockWidths, one_fewer
from gazenas.search.costs.site import Site


def macs(site: Site, operator: str, group: str, widths: BlockWidths) -> int:
    """MACs of the block with ``widths`` minus those with one unit of ``group`` fewer, for one image."""
    fewer = one_fewer(widths, operator, group)
    return site.block.macs(widths, site.side, site.side) - site.block.macs(fewer, site.side, site.side)
