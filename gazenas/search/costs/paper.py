"""The paper's Delta (GazeNAS section 3.4): kernel area times map area, or O(n) - O(n - 1) for a token."""

from __future__ import annotations

from gazenas.models.search_block import BlockWidths, SearchBlock


def paper(block: SearchBlock, operator: str, group: str, widths: BlockWidths, height: int, width: int) -> int:
    """What the paper charges for one unit of ``group``; it leaves out the pointwise convolutions around a kernel."""
    return block.operators()[operator].paper_cost(group, widths[operator], height, width)
