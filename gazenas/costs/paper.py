"""The paper's Delta (GazeNAS section 3.4): kernel area times map area, or O(n) - O(n - 1) for a token."""

from __future__ import annotations

from gazenas.costs.quantity import Quantity
from gazenas.models.parts import NetworkWidths, Part


def paper(part: Part, widths: NetworkWidths) -> float:
    """What the paper charges for a part's units; it leaves out the pointwise convolutions around a kernel."""
    return part.paper(widths)


PAPER = Quantity("paper", "of the paper's Delta", paper)
