"""Exact MACs of a part for one image."""

from __future__ import annotations

from gazenas.models.parts import NetworkWidths, Part


def macs(part: Part, widths: NetworkWidths) -> float:
    """MACs, without what is the same at all widths."""
    return part.macs(widths)
