"""Exact MACs that one unit adds, all that falls away with a last unit included."""

from __future__ import annotations

from gazenas.models.search_block import BlockWidths, SearchBlock, one_fewer


def macs(block: SearchBlock, operator: str, group: str, widths: BlockWidths, height: int, width: int) -> int:
    """MACs of the block with ``widths`` minus those with one unit of ``group`` fewer, for one image."""
    return block.macs(widths, height, width) - block.macs(one_fewer(widths, operator, group), height, width)
