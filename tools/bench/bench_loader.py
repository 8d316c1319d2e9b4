"""Prints images per second of the training loader beside one that opens the file for every image, on the same files in
one run.

    python tools/bench/bench_loader.py FOLDER [--batch 64] [--seconds 4] [--rounds 3] [--step gazenas_tiny]

Opening a file for every image is what ETH-XGaze's own loader does: each item opens the person's HDF5 file, reads one
patch, turns BGR into RGB and makes a normalized float tensor; torch's DataLoader collates them. Both give shuffled,
normalized float32 batches, ours also mirrors and brightens them; here and in one and two worker processes; the two take
turns, so that the machine's drift hits both alike. Images that training would hold in memory (up to 2 GiB) are measured
as training has them, and, apart, as read from the files
each time.
With ``--step`` a training step of that space at this batch size is timed as well, which says what the loader saves of
an epoch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gazenas.commands._common import keep_freed_memory
from gazenas.data.dataset import GazeSplit
from gazenas.data.loader import Loader
from gazenas.data.readers import open_data
from gazenas.models.network import MEAN, STD
from gazenas.models.zoo import build_supernet
from gazenas.tasks.gaze import gaze_loss
from gazenas.training.job import MEMORY_LIMIT


class OpenedEachTime(Dataset[tuple[Tensor, Tensor]]):
    """One image an item; its file is opened for it."""

    def __init__(self, folder: Path, split: GazeSplit) -> None:
        self.places = [split.images.name(row).rsplit(":", 1) for row in range(len(split))]
        self.folder, self.gaze = folder, split.gaze

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        name, within = self.places[row]
        with h5py.File(self.folder / name, "r") as file:
            image = file["face_patch"][int(within)][:, :, [2, 1, 0]]
        pixels = torch.from_numpy(image.transpose(2, 0, 1).copy()).float().div_(255)
        mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
        label = np.zeros(2, np.float32) if self.gaze is None else self.gaze[row]
        return pixels.sub_(mean).div_(std), torch.from_numpy(label)


def opened_each_time(folder: Path, batch: int, workers: int) -> Generator[int, None, None]:
    """Sizes of batches, epoch after epoch."""
    data = OpenedEachTime(folder / "train", open_data(folder).split("train"))
    while True:
        reader = DataLoader(data, batch, shuffle=True, num_workers=workers, drop_last=True)
        yield from (len(images) for images, _ in reader)


def from_files(folder: Path, batch: int, workers: int) -> Generator[int, None, None]:
    """The same from the training loader, mirrors and brightness included, which the other has none of."""
    return _ours(open_data(folder).split("train"), batch, workers)


def as_training(folder: Path, batch: int, workers: int) -> Generator[int, None, None]:
    """The same with images in memory where they fit."""
    return _ours(open_data(folder).split("train").in_memory(MEMORY_LIMIT), batch, workers)


def _ours(split: GazeSplit, batch: int, workers: int) -> Generator[int, None, None]:
    loader, epoch = Loader(split, batch, 0, train=True, workers=workers), 0
    while True:
        yield from (len(read.images) for read in loader.epoch(epoch))
        epoch += 1


WAYS: dict[str, Callable[[Path, int, int], Generator[int, None, None]]] = {
    "opened for every image": opened_each_time,
    "ours, from the files": from_files,
    "ours, as training reads": as_training,
}


def rate(way: str, folder: Path, batch: int, workers: int, seconds: float) -> float:
    """Images per second; the first batch, for which processes start, is not counted."""
    torch.set_num_threads(1)
    with closing(WAYS[way](folder, batch, workers)) as batches:
        next(batches)
        begun, images = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            images += next(batches)
        return images / (time.perf_counter() - begun)


def apart(way: str, folder: Path, batch: int, workers: int, seconds: float) -> float:
    """:func:`rate` in a process of its own: a file that is open already opens faster."""
    words = [str(folder), "--batch", str(batch), "--seconds", str(seconds), "--only", way, "--workers", str(workers)]
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
    return float(done.stdout)


def step_seconds(space: str, batch: int, size: int) -> float:
    """Median time of a training step of a supernet."""
    network = build_supernet(space, input_size=size).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters())
    images, gaze = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last), torch.randn(batch, 2)
    taken = []
    for _ in range(8):
        begun = time.perf_counter()
        optimizer.zero_grad()
        gaze_loss(network(images), gaze).backward()
        optimizer.step()
        taken.append(time.perf_counter() - begun)
    return float(np.median(taken[2:]))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="in ETH-XGaze's layout")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="each, in turns; medians are printed")
    parser.add_argument("--step", default="", help="a search space whose training step is timed as well")
    parser.add_argument("--only", choices=WAYS, help="measure one way in this process and print its rate alone")
    parser.add_argument("--workers", type=int, default=0, help="for --only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does
    if arguments.only:
        print(rate(arguments.only, arguments.folder, arguments.batch, arguments.workers, arguments.seconds))
        return
    split, batch = open_data(arguments.folder).split("train"), arguments.batch
    fits = len(split) * split.size**2 * 3 <= MEMORY_LIMIT
    print(
        f"{len(split):,} images of {split.size} pixels, batches of {batch}; in memory they "
        f"{'fit' if fits else 'do not fit'}"
    )
    found: dict[tuple[str, int], float] = {}
    for workers in (0, 1, 2):
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            for way in WAYS:
                rates[way].append(apart(way, arguments.folder, batch, workers, arguments.seconds))
        for way, values in rates.items():
            found[way, workers] = float(np.median(values))
            ratio = found[way, workers] / found["opened for every image", workers]
            print(f"{workers} workers, {way}: {found[way, workers]:,.0f} images a second, x {ratio:.1f}", flush=True)
    if arguments.step:
        step = step_seconds(arguments.step, batch, split.size)
        for name in WAYS:
            images = len(split) // batch * batch
            load = images / found[name, 0]
            total = load + images / batch * step
            print(
                f"an epoch of {arguments.step}, one thread, read in the same process, {name}: {total:.1f} s, "
                f"{load:.1f} s of it reading"
            )


if __name__ == "__main__":
    main()
