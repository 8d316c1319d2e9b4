"""Exact parameters that one unit adds to the frozen network, all that falls away with a last unit included."""

from __future__ import annotations

from gazenas.models.search_block import BlockWidths, SearchBlock, one_fewer


def params(block: SearchBlock, operator: str, group: str, widths: BlockWidths, height: int, width: int) -> int:
    """Parameters of the block with ``widths`` minus those with one unit of ``group`` fewer."""
    return block.params(widths) - block.params(one_fewer(widths, operator, group))
