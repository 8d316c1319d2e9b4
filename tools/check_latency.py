"""Checks milliseconds by the latency table against whole networks, thinned by chance to budgets of milliseconds.

    python tools/check_latency.py --space gazenas_tiny

Each budget is met twice, with channels that leave in multiples, as a search for milliseconds takes them, and one by
one. All networks are exported with weights of no training and timed in turns by onnxruntime on one thread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from torch import nn

from gazenas.costs.latency.cost import latency_by_table
from gazenas.costs.latency.measurement import THREADS, write_kit
from gazenas.costs.quantity import Resource
from gazenas.costs.widths import architecture_with
from gazenas.errors import InputError
from gazenas.export.timing import measure_kit
from gazenas.models.network import Network
from gazenas.models.parts import NetworkWidths
from gazenas.models.zoo import build_subnet, build_supernet, load_space
from gazenas.search.controller import widths_after
from gazenas.search.random_baseline import KINDS, random_scores
from gazenas.search.selection import cut, unit_costs
from gazenas.search.units import unit_groups

SHARES = (0.2, 0.35, 0.5, 0.7)  # of the way from no units to the supernet


def main() -> int:
    """Prints a line a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", required=True, help="name or YAML file of a search space")
    parser.add_argument("--latency-table", default="", help="table of this machine (default: the one in the cache)")
    arguments = parser.parse_args()
    try:
        network = build_supernet(load_space(arguments.space))
        resource = latency_by_table(arguments.latency_table, network.space).of(network)
    except InputError as error:
        parser.error(str(error))
    multiples = (resource.quantity.channel_multiple, 1)
    drawn = {
        (kind, share, multiple): draw(network, resource, kind, share, multiple)
        for kind in KINDS
        for share in SHARES
        for multiple in multiples
    }
    by_key = {" ".join(map(str, key)): architecture_with(network, widths) for key, widths in drawn.items()}
    measured = measure({key: lambda arch=arch: build_subnet(arch) for key, arch in by_key.items()}, network.input_size)  # type: ignore[misc]
    table = Table(
        "drawn",
        "by the table",
        f"in multiples of {multiples[0]}",
        "ratio",
        "one by one",
        "ratio",
        title=f"ms, {arguments.space}",
    )
    for kind in KINDS:
        for share in SHARES:
            cells = []
            for multiple in multiples:
                key = (kind, share, multiple)
                ms = measured[" ".join(map(str, key))]
                cells += [f"{ms:.2f}", f"{ms / resource.total(network, drawn[key]):.2f}"]
            table.add_row(
                f"{kind}, {share:.0%}", f"{resource.total(network, drawn[kind, share, multiples[0]]):.2f}", *cells
            )
    Console().print(table)
    Console().print(
        f"{len(resource.checks)} networks of the table, sum over measured: "
        f"{', '.join(f'{c:.2f}' for c in resource.checks)}"
    )
    return 0


def draw(network: Network, resource: Resource, kind: str, share: float, multiple: int) -> NetworkWidths:
    """Widths of a network thinned by chance to ``share`` of the milliseconds above the network of no units."""
    groups = unit_groups(network)
    least, most = resource.floor(network), resource.total(network, network.widths())
    score = random_scores(network, kind, unit_costs(network, groups, [resource]), seed=0)
    keep = cut(network, groups, score, [resource], [least + share * (most - least)], multiple)
    return widths_after(network, keep)


def measure(builds: dict[str, Callable[[], nn.Module]], side: int) -> dict[str, float]:
    """Milliseconds of whole networks by key."""
    with tempfile.TemporaryDirectory() as aside:
        kit = Path(aside) / "kit.zip"
        write_kit({key: (build, 3, (side, side)) for key, build in builds.items()}, kit)
        found: dict[str, float] = measure_kit(kit, threads=THREADS)["ms"]
    return found


if __name__ == "__main__":
    sys.exit(main())
