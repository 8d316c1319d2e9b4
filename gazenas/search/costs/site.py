"""Where a search block stands: all that a cost metric may need besides widths."""

from __future__ import annotations

from dataclasses import dataclass

from gazenas.architecture import BlockSpec
from gazenas.models.search_block import SearchBlock


@dataclass(frozen=True)
class Site:
    """A search block, what the space says of it, and the side of its input in pixels."""

    block: SearchBlock
    spec: BlockSpec
    side: int
