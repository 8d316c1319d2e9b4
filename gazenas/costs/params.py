"""Exact parameters of a part once it is frozen."""

from __future__ import annotations

from gazenas.models.parts import NetworkWidths, Part


def params(part: Part, widths: NetworkWidths) -> float:
    """Parameters, without what is the same at all widths."""
    return part.params(widths)
