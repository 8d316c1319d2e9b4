"""Prints how fast a search trains, full and thinned to a half and a quarter of its MACs, beside hand-made rivals of the
same MACs.

    python tools/bench/bench_search.py --space gazenas_tiny [--batch 128] [--steps 12]

Every line is the search's own training step: reading and augmenting images (noise, held in memory), forward, backward,
checks, the optimizer.
`fraction of peak` is the training arithmetic, 6 x MACs an image (two operations a MAC; the backward
pass costs twice the forward one), over the best matrix product of all processes that count; `of product beside` is the
same over the median product between the timed steps of the same process. On an idle machine the two agree; where
neighbors share the cores, only the second compares what ran under the same conditions. Each size runs in processes of
its own, so that its peak memory is its own, the sizes in
turn, so that the machine's drift hits all alike; the best process counts. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from gazenas.commands._common import use_device
from gazenas.counting import count_macs
from gazenas.data.dataset import GazeFolder, GazeSplit
from gazenas.models.zoo import load_space
from gazenas.search.recipe import SearchRecipe
from gazenas.search.rival import scaled_rival
from gazenas.search.searching import FOUND, Search
from gazenas.search.targets import Targets
from gazenas.training.finetuning import FinetuneRecipe, Finetuning
from gazenas.training.job import Job
from gazenas.training.run_folder import RunFolder

SHARES = (100, 50, 25)
WARM_UP = 3  # steps that are not timed
PRODUCT = 2048  # side of the matrices whose product gives the peak
PRODUCTS = 3  # before the first step and after each


class Noise:
    """Images that cost nothing to read."""

    def __init__(self, count: int, size: int) -> None:
        self.values = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(n, S, S, 3)``."""
        images: NDArray[np.uint8] = self.values[rows]
        return images

    def name(self, row: int) -> str:
        """Where the row comes from."""
        return f"noise {row}"


class Stopwatch:
    """A progress display that times each step, and after it some matrix products."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.products: list[float] = []
        self._a, self._b = torch.randn(2, PRODUCT, PRODUCT)
        self._begin = time.perf_counter()

    def multiply(self) -> None:
        """Notes the floating point operations a second of some products, each for itself."""
        for _ in range(PRODUCTS):
            begin = time.perf_counter()
            torch.mm(self._a, self._b)
            self.products.append(2 * PRODUCT**3 / (time.perf_counter() - begin))

    def epoch(self, number: int, total: int, steps: int) -> None:
        """Nothing to show."""

    def step(self, values: Mapping[str, float]) -> None:
        """A step has ended."""
        self.seconds.append(time.perf_counter() - self._begin)
        self.multiply()
        self._begin = time.perf_counter()

    def say(self, text: str) -> None:
        """Nothing to show."""


def main() -> int:
    """Runs each size in a process of its own and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="gazenas_tiny", help="name or YAML file (default: gazenas_tiny)")
    parser.add_argument("--batch", type=int, default=0, help="images a step (default: 48 at 224 pixels, 512 at 64)")
    parser.add_argument("--steps", type=int, default=12, help="timed steps (default: 12)")
    parser.add_argument("--rounds", type=int, default=3, help="processes for each size (default: 3)")
    parser.add_argument("--threads", type=int, default=0, help="0 for one a usable core")
    parser.add_argument("--share", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--rival", type=float, default=0.0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    space = load_space(arguments.space)
    arguments.batch = arguments.batch or max(48, 512 * 64**2 // space.input_size**2 // 8 * 8)
    if arguments.share or arguments.rival:
        print(json.dumps(measure(arguments)))
        return 0
    table = Table(title=f"{space.name} at {space.input_size} pixels, batch {arguments.batch}", title_justify="left")
    columns = "images/s", "x full", "seconds/step", "fraction of peak", "of product beside", "peak memory"
    table.add_column("network")
    for name in ("MACs", *columns):
        table.add_column(name, justify="right")
    best: dict[tuple[str, int], dict[str, float]] = {}
    for _, share in product(range(arguments.rounds), SHARES):
        searched = keep_best(best, ("search", share), "--share", str(share))
        keep_best(best, ("hand-made", share), "--rival", str(searched["macs"]))
    peak = max(row["peak"] for row in best.values())
    for (name, _), row in sorted(best.items(), key=lambda item: (item[0][0] != "search", -item[0][1])):
        full = best[name, 100]["images"]
        table.add_row(
            name,
            f"{row['macs'] / 1e6:.1f} M",
            f"{row['images']:.1f}",
            f"{row['images'] / full:.2f}",
            f"{row['step']:.3f}",
            *(f"{6 * row['macs'] * row['images'] / each:.3f} of {each / 1e9:.0f}" for each in (peak, row["beside"])),
            f"{row['memory'] / 2**20:,.0f} MiB",
        )
    taken = f"the median of {arguments.steps}, the best of {arguments.rounds} processes"
    note = f"{row['threads']} threads; products in GFLOP/s; seconds a step: {taken}"
    Console(width=120).print(table, note)
    return 0


def keep_best(best: dict[tuple[str, int], dict[str, float]], key: tuple[str, int], *words: str) -> dict[str, float]:
    """Measures one row in a process of its own, and keeps it where it is the fastest of its kind."""
    command = [sys.executable, __file__, *sys.argv[1:], *words]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    row: dict[str, float] = json.loads(output.splitlines()[-1])
    if key not in best or row["images"] > best[key]["images"]:
        best[key] = row
    return row


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """One size, of the search or of a rival: its median step, and the products around its steps."""
    use_device("cpu", arguments.threads)
    space = load_space(arguments.space)
    count = arguments.batch * (arguments.steps + WARM_UP)
    rng = np.random.default_rng(0)

    def split(name: str, images: int) -> GazeSplit:
        gaze = rng.uniform(-0.5, 0.5, (images, 2)).astype(np.float32)
        size = space.input_size
        return GazeSplit(name, [name], np.zeros(images, np.int64), gaze, None, size, Noise(images, size))

    folder = GazeFolder(Path(), space.input_size, "R", {"train": split("train", count), "val": split("val", 8)}, [])
    watch = Stopwatch()
    watch.multiply()
    with tempfile.TemporaryDirectory() as aside, RunFolder(Path(aside) / "run", "search") as place:
        job = Job(folder, place, 0, "cpu", 0, watch)
        training: Search | Finetuning
        if arguments.rival:
            rival = scaled_rival({"macs": arguments.rival}, space.input_size)
            training = Finetuning(FinetuneRecipe(epochs=3, batch_size=arguments.batch), rival, job)
        else:
            late = {
                "start_at": 0,
                "shrink_from": 0.5,
                "shrink_until": 1.0,
                "shrink_every": 1.0,
            }  # after the timed epoch
            recipe = SearchRecipe(epochs=3, batch_size=arguments.batch, recalibration=1, **late)
            targets = Targets({"macs": f"{min(arguments.share, 50)}%"})
            training = Search(recipe, space, targets, job, FOUND if arguments.share == 100 else "uniform")
        macs = count_macs(training.network, space.input_size)
        training.train_epoch()
    step = float(np.median(watch.seconds[WARM_UP:]))
    return {
        "macs": macs,
        "images": arguments.batch / step,
        "step": step,
        "peak": max(watch.products),
        "beside": float(np.median(watch.products[PRODUCTS * (WARM_UP + 1) :])),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    sys.exit(main())
