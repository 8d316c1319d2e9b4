"""Milliseconds of onnxruntime on one thread for one image, by a lookup table: a given one, or this machine's."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from gazenas.costs.latency.table import LatencyTable
from gazenas.costs.quantity import FromTable, Quantity, Samples
from gazenas.models.network import Network
from gazenas.models.parts import NetworkWidths, Part
from gazenas.space.search_space import SearchSpace
from gazenas.training.processes import ALONE, World


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


def measured_networks(network: Network, *, table: LatencyTable | None = None) -> Samples:
    """Whole networks of the space with their milliseconds, the one of no units first."""
    from gazenas.costs.latency import measurement

    space = network.space
    table = table or measurement.machine_table(measurement.space_models(space))
    wholes = measurement.whole_networks(space)
    measured = {which: table.net(measurement.network_key(space, which)) for which in wholes}
    first = {"empty": measured.pop("empty")}
    return [(wholes[which].kept, ms) for which, ms in (first | measured).items()]


def latency_by_table(file: str, space: SearchSpace, world: World = ALONE) -> Quantity:
    """Milliseconds by the table in a file, or, for an empty path, by this machine's, measured by rank 0 where there is
    none yet.

    Raises:
        InputError: where the file is no table, or one of another space.
    """
    if file:
        table = LatencyTable.load(Path(file))
    else:
        from gazenas.costs.latency.measurement import machine_table, space_models

        table = machine_table(space_models(space), world)
    return replace(
        LATENCY,
        amount=partial(latency, table=table),
        samples=partial(measured_networks, table=table),
        channel_multiple=table.channel_multiple,
    )


LATENCY = Quantity(
    "latency",
    "ms",
    latency,
    budget="ms",
    help="milliseconds of onnxruntime on one thread by the latency table: 2.5 or 40%",
    samples=measured_networks,
    integral=False,
    table=FromTable(
        "file of 'gazenas latency', for --target-ms and --cost latency; measured here without it", latency_by_table
    ),
)
