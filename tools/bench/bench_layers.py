"""Prints what gazenas's own layers save of a training step on this machine's CPU, full and thinned, beside torch's layers.

    python tools/bench/bench_layers.py --space gazenas_tiny [--batch 128] [--rounds 5]

Forward and backward of the supernet on noise, in `channels_last`, as it is and with `torch.nn.BatchNorm2d` and `torch.nn.Conv2d` for
`gazenas.layers.batch_norm.BatchNorm2d` and `gazenas.layers.depthwise.DepthwiseConv2d`, kernels side by side at any width.
The two take turns, so that the machine's drift hits both alike; the medians count. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from gazenas.commands._common import use_device
from gazenas.counting import count_macs
from gazenas.layers.batch_norm import BatchNorm2d
from gazenas.layers.depthwise import DepthwiseConv2d
from gazenas.models.network import Network
from gazenas.models.zoo import build_supernet, load_space
from gazenas.ops import mixconv
from gazenas.search import unit_groups
from gazenas.search.shrinking import shrink
from gazenas.space.search_space import SearchSpace

SHARES = (1.0, 0.5, 0.25)  # of every group's units


def main() -> int:
    """Times each size and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="gazenas_tiny", help="name or YAML file (default: gazenas_tiny)")
    parser.add_argument("--batch", type=int, default=128, help="images a step (default: 128)")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each (default: 5)")
    parser.add_argument("--threads", type=int, default=0, help="0 for one a usable core")
    arguments = parser.parse_args()
    use_device("cpu", arguments.threads)
    space = load_space(arguments.space)
    images = torch.randn(arguments.batch, 3, space.input_size, space.input_size)
    images = images.contiguous(memory_format=torch.channels_last)
    table = Table(title=f"{space.name} at {space.input_size} pixels, batch {arguments.batch}", title_justify="left")
    for name in ("units", "MACs", "seconds, torch's layers", "seconds, ours", "x"):
        table.add_column(name, justify="right")
    for share in SHARES:
        ours = thinned(space, share)
        macs = count_macs(ours, space.input_size)
        plain = with_torchs_layers(ours)
        times: dict[str, list[float]] = {"ours": [], "plain": []}
        for turn in range(arguments.rounds + 2):
            wide = mixconv.WIDE
            seconds = {"ours": step(ours, images)}
            mixconv.WIDE = sys.maxsize
            seconds["plain"] = step(plain, images)
            mixconv.WIDE = wide
            for name in times if turn >= 2 else ():
                times[name].append(seconds[name])
        median = {name: statistics.median(each) for name, each in times.items()}
        table.add_row(
            f"{share:.0%}",
            f"{macs / 1e6:.1f} M",
            f"{median['plain']:.3f}",
            f"{median['ours']:.3f}",
            f"{median['plain'] / median['ours']:.2f}",
        )
    Console(width=120).print(
        table, f"{torch.get_num_threads()} threads; forward and backward; medians of {arguments.rounds}"
    )
    return 0


def thinned(space: SearchSpace, share: float) -> Network:
    """The supernet with the first so many units of every group, in training mode."""
    network = build_supernet(space)
    for group in unit_groups(network):
        with torch.no_grad():
            group.alpha[max(1, round(share * group.alpha.numel())) :] = 0
    shrink(network, 0.0)
    return network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload, no-any-return]


def with_torchs_layers(network: Network) -> Network:
    """A copy whose layers are torch's own."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, BatchNorm2d):
            module.__class__ = nn.BatchNorm2d
        elif isinstance(module, DepthwiseConv2d):
            module.__class__ = nn.Conv2d
    return network


def step(network: Network, images: Tensor) -> float:
    """Seconds of forward and backward."""
    begin = time.perf_counter()
    network.zero_grad(set_to_none=True)
    network(images).abs().mean().backward()
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
