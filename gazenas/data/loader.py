"""Batches of normalized images and labels, the same for the same seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gazenas.data.augmentation import Changes, augment, draw_changes, move_labels
from gazenas.data.dataset import GazeSplit, LoadedImages
from gazenas.errors import InputError
from gazenas.models.network import GRAY_MEAN, GRAY_STD, MEAN, STD
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.inputs import INPUTS
from gazenas.tasks.task import Task

ORDERS = ("mixed", "session")
CACHED = 1 << 20  # bytes of floats that a core's cache holds
AHEAD = 2  # batches that each process reads ahead


@dataclass
class Batch:
    """``images`` ``(N, 3, S, S)`` float, or ``(N, 1, S, S)`` gray; ``labels`` ``(N, outputs)`` of a task (zeros where
    unknown); ``rows`` ``(N,)`` of the split.

    ``weight`` is 1, or for a share of a batch its size relative to the mean share; 0 for a process that has no row of
    its own and is given one so that all take the same steps.

    ``more`` are the network's other inputs by name, ``(N, ...)`` each.
    """

    images: Tensor
    labels: Tensor
    rows: NDArray[np.int64]
    weight: float = 1.0
    more: Mapping[str, Tensor] = field(default_factory=dict)


class _SharedBatches(Dataset[str]):
    """Writes whole batches of images into shared memory that is used again: fresh memory for each would cost as much as
    reading.

    An item ``(slot, rows)`` fills a slot and gives an empty text, or what is wrong with the images.
    """

    def __init__(self, split: GazeSplit, slots: int, most: int) -> None:
        self.split = split
        slot = torch.empty(slots, most, split.size, split.size, 3, dtype=torch.uint8)
        self.slots: Tensor = slot.share_memory_()  # type: ignore[no-untyped-call]

    def __getitem__(self, item: tuple[int, NDArray[np.int64]]) -> str:
        slot, rows = item
        try:
            self.slots[slot, : len(rows)] = torch.from_numpy(self.split.images(rows))
        except InputError as error:
            return str(error)
        return ""


class _Workers:
    """Processes that read batches ahead, and stay for the next epoch.

    Args:
        split: where from.
        count: of processes.
        most: rows of a batch.
    """

    def __init__(self, split: GazeSplit, count: int, most: int) -> None:
        # Those that are being read ahead, and the one that is being used.
        self.batches = _SharedBatches(split, AHEAD * count + 1, most)
        self.order: list[tuple[int, NDArray[np.int64]]] = []
        self.reader = DataLoader(
            self.batches,
            batch_size=None,
            sampler=self.order,
            num_workers=count,
            prefetch_factor=AHEAD,
            persistent_workers=True,
        )

    def read(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        """``(n, S, S, 3)`` uint8 images of each batch, good until the next one is asked for.

        Raises:
            InputError: naming an image that cannot be read.
        """
        self.order[:] = [(number % len(self.batches.slots), rows) for number, rows in enumerate(batches)]
        for (slot, rows), fault in zip(self.order, self.reader, strict=True):
            if fault:
                raise InputError(fault)
            yield self.batches.slots[slot, : len(rows)]


@dataclass(frozen=True)
class Loader:
    """Draws batches of a split.

    Attributes:
        split: where from; a damaged image found while reading raises InputError.
        batch_size: rows a batch, all processes together; in training a smaller last batch is left out.
        seed: of shuffling and augmentation.
        train: shuffled and augmented, or in order and as they are.
        workers: processes that read files, single-threaded, from one epoch to the next. 0 reads in this one, as do
            images in memory.
        device: where batches go.
        rank, processes: this process, from 0, among those that train together; each reads its own share of every batch.
        order: in training ``mixed``, or ``session``: the rows of a batch are of one session, or of one person where
            sessions are unknown; smaller groups make smaller batches.
        augmentation: one of ``AUGMENTATIONS``.
        task: whose labels.
        channels: of the images, 3, RGB, or 1, gray.
        inputs: names of ``INPUTS`` that come with each image.
    """

    split: GazeSplit
    batch_size: int
    seed: int
    train: bool
    workers: int = 0
    device: str = "cpu"
    rank: int = 0
    processes: int = 1
    order: str = "mixed"
    augmentation: str = "plain"
    task: Task = GAZE
    channels: int = 3
    inputs: tuple[str, ...] = ()
    _idle: list[_Workers] = field(default_factory=list, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        """Batches an epoch."""
        if self.train and self.order == "session":
            counts = np.bincount(self.split.group(by_session=True))
            return int(sum(max(1, count // self.batch_size) for count in counts if count > 1))
        return max(1, len(self.split) // self.batch_size) if self.train else -(-len(self.split) // self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from batch ``start``, a function of the seed, ``number`` and ``start`` alone."""
        whole = self._batches(number)[start:]
        shares = [self._share(rows) for rows in whole]
        read = self._read([rows for rows in shares if len(rows)])
        known = self.task.labels(self.split)
        given = {name: INPUTS[name].need(self.split, self.split.name) for name in self.inputs}
        for index, (batch, rows) in enumerate(zip(whole, shares, strict=True), start):
            if not len(rows):
                continue
            pixels, labels = next(read), torch.zeros(len(rows), len(self.task.outputs))
            if known is not None:
                labels = torch.from_numpy(known[rows])
            if self.device != "cpu":
                pixels, labels = (each.pin_memory().to(self.device, non_blocking=True) for each in (pixels, labels))
            own = len(batch) > self.rank
            changes = self._changes(number, index, len(batch)) if self.train else None
            images, labels = to_floats(pixels, labels, changes, self.task)
            if self.channels == 1:
                images = to_gray(images)
            more = {name: torch.from_numpy(values[rows]).to(self.device) for name, values in given.items()}
            if changes is not None:
                side = self.split.size
                more = {name: move_labels(values, changes, INPUTS[name], side) for name, values in more.items()}
            yield Batch(images, labels, rows, own * len(rows) * self.processes / len(batch), more)

    def _read(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        """``(n, S, S, 3)`` uint8 images of each batch, good until the next one is asked for."""
        # Images that lie in memory are only copied; handing them from process to process would take longer.
        if not self.workers or isinstance(self.split.images, LoadedImages):
            yield from (torch.from_numpy(self.split.images(rows)) for rows in batches)
            return
        most = -(-min(self.batch_size, len(self.split)) // self.processes)
        workers = self._idle.pop() if self._idle else _Workers(self.split, self.workers, most)
        try:
            yield from workers.read(batches)
        finally:
            self._idle.append(workers)

    def _share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's rows of a batch; in training, where it has none, the first one, since all have to take the
        step."""
        own = rows[self.rank :: self.processes]
        return own if len(own) or not self.train else rows[:1]

    def _changes(self, number: int, index: int, count: int) -> Changes:
        """This process's share of what is done to the ``count`` images of a batch."""
        drawn = draw_changes(count, self._generator(number, index), self.augmentation, self.split.size)
        return drawn.share(self.rank, self.processes) if count > self.rank else drawn.at(slice(1))

    def _batches(self, number: int) -> list[NDArray[np.int64]]:
        """Rows of every batch of an epoch."""
        size = self.batch_size
        if not self.train:
            return [np.arange(len(self.split))[begin : begin + size] for begin in range(0, len(self.split), size)]
        generator = self._generator(number)
        if self.order == "session":
            return self._session_batches(generator)
        # Rows that are decoded together stay together: elsewhere a batch would decode each block for one image.
        block = self.split.block
        blocks = torch.randperm(-(-len(self.split) // block), generator=generator).numpy()
        order = (blocks[:, None] * block + np.arange(block)).reshape(-1)
        order = order[order < len(self.split)]
        return [order[batch * size : (batch + 1) * size] for batch in range(len(self))]

    def _session_batches(self, generator: torch.Generator) -> list[NDArray[np.int64]]:
        batches = []
        for own in self.split.rows_by_group(by_session=True):
            rows = own[torch.randperm(len(own), generator=generator).numpy()]
            if len(rows) > 1:  # BatchNorm needs two
                count = max(1, len(rows) // self.batch_size)
                batches += [rows[b * self.batch_size : (b + 1) * self.batch_size] for b in range(count)]
        return [batches[int(position)] for position in torch.randperm(len(batches), generator=generator)]

    def _generator(self, *position: int) -> torch.Generator:
        """Random numbers of their own for an epoch, or for a batch of it, so that any batch can be the first."""
        seed = np.random.SeedSequence([self.seed, *position]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(seed) >> 1)


def to_floats(pixels: Tensor, labels: Tensor, changes: Changes | None, task: Task = GAZE) -> tuple[Tensor, Tensor]:
    """Normalized images and their labels, changed where there are changes: on a CPU a few images at a time.

    Args:
        pixels: ``(N, S, S, 3)`` uint8 RGB.
        labels: ``(N, outputs)``, on the same device.
        changes: of these N images, or None.
        task: whose labels.

    Returns:
        ``(N, 3, S, S)``, laid out channels last, and ``(N, outputs)``.
    """
    count, side = len(pixels), pixels.shape[1]
    # Each image passes through memory several times, which is cheap where it stays in the cache.
    together = max(1, CACHED // (12 * side * side)) if pixels.device.type == "cpu" else max(count, 1)
    images = torch.empty(count, side, side, 3, device=pixels.device).permute(0, 3, 1, 2)
    turned = torch.empty_like(labels)
    for begin in range(0, count, together):
        part = slice(begin, begin + together)
        images[part], turned[part] = (
            (normalize(pixels[part]), labels[part])
            if changes is None
            else augment(normalize(pixels[part]), labels[part], changes.at(part), task)
        )
    return images, turned


def normalize(pixels: Tensor) -> Tensor:
    """uint8 RGB ``(N, S, S, 3)`` to float ``(N, 3, S, S)`` with ImageNet's mean and deviation, laid out channels
    last."""
    side = pixels.shape[2]
    scale = torch.tensor([1 / (255 * s) for s in STD], device=pixels.device).repeat(side)
    shift = torch.tensor([m / s for m, s in zip(MEAN, STD, strict=True)], device=pixels.device).repeat(side)
    # Rows of pixels and channels lie together in memory: one long inner loop instead of many of three.
    rows = pixels.flatten(2).float().mul_(scale).sub_(shift)
    return rows.view(pixels.shape).permute(0, 3, 1, 2)


def to_gray(images: Tensor) -> Tensor:
    """``(N, 3, S, S)`` normalized RGB to ``(N, 1, S, S)``: the mean of the colors, normalized as gray networks want
    it."""
    std, mean = images.new_tensor(STD) / 3, sum(MEAN) / 3
    gray = torch.einsum("nchw,c->nhw", images, std)[:, None] + mean
    return (gray - GRAY_MEAN) / GRAY_STD
