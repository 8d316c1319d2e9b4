"""Milliseconds as a cost: by a given table, or by this machine's."""

from __future__ import annotations

from gazenas.costs.latency.table import LatencyTable
from gazenas.models.parts import NetworkWidths, Part


def latency(part: Part, widths: NetworkWidths, *, table: LatencyTable | None = None) -> float:
    """Milliseconds of a part with ``widths``.

    Args:
        part: of a network.
        widths: of the network.
        table: to look up; without one this machine's, measured now where it is not yet in the cache.
    """
    if table is None:
        from gazenas.costs.latency.measurement import machine_table, part_models  # onnxruntime is needed for this alone

        table = machine_table(part_models(part, searched=any(stream in widths for stream in part.streams)))
    return table.part(part, widths)
