"""Batches of normalised images and labels, the same for the same seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gazenas.data.split import GazeSplit
from gazenas.distributed import ALONE, World
from gazenas.models.network import MEAN, STD


@dataclass
class Batch:
    """``images`` ``(N, 3, S, S)`` float; ``gaze`` ``(N, 2)`` radians (zeros where unknown); ``rows`` ``(N,)`` of the split.

    ``weight`` is 1, or for a share of a batch its size relative to the mean share.
    """

    images: Tensor
    gaze: Tensor
    rows: NDArray[np.int64]
    weight: float = 1.0


class _Rows(Dataset[tuple[Tensor, Tensor, NDArray[np.int64]]]):
    """A map-style data set whose items are whole batches."""

    def __init__(self, split: GazeSplit, batches: list[NDArray[np.int64]]) -> None:
        self.split, self.batches = split, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
        rows = self.batches[index]
        gaze = np.zeros((len(rows), 2), np.float32) if self.split.gaze is None else self.split.gaze[rows]
        return torch.from_numpy(self.split.images(rows)), torch.from_numpy(gaze), rows


@dataclass(frozen=True)
class Loader:
    """Draws batches of a split.

    Attributes:
        split: where from; a damaged image found while reading raises InputError.
        batch_size: rows a batch, all processes together; in training a smaller last batch is left out.
        seed: of shuffling and augmentation.
        train: shuffled and augmented, or in order and as they are.
        workers: processes that read; each runs single-threaded. 0 reads in this one.
        device: where batches go.
        world: each process reads its own share of every batch.
    """

    split: GazeSplit
    batch_size: int
    seed: int
    train: bool
    workers: int = 0
    device: str = "cpu"
    world: World = ALONE

    def __len__(self) -> int:
        """Batches an epoch."""
        return max(1, len(self.split) // self.batch_size) if self.train else -(-len(self.split) // self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from batch ``start``, a function of the seed, ``number`` and ``start`` alone."""
        order = np.arange(len(self.split))
        if self.train:
            order = torch.randperm(len(order), generator=self._generator(number)).numpy()
        size = self.batch_size
        whole = [order[batch * size : (batch + 1) * size] for batch in range(start, len(self))]
        shares = [rows[self.world.rank :: self.world.size] for rows in whole]
        shares = [rows for rows in shares if len(rows)]  # a short last batch may have none for this process
        reader = DataLoader(
            _Rows(self.split, shares), batch_size=None, num_workers=self.workers, pin_memory=self.device != "cpu"
        )
        for index, (pixels, gaze, rows) in enumerate(reader):
            images, gaze = normalise(pixels.to(self.device)), gaze.to(self.device)
            if self.train:
                draws = draw_changes(len(whole[index]), self._generator(number, start + index))
                images, gaze = augment(images, gaze, *(d[self.world.rank :: self.world.size] for d in draws))
            yield Batch(images, gaze, rows, len(rows) * self.world.size / len(whole[index]))

    def _generator(self, *place: int) -> torch.Generator:
        """Random numbers of their own for an epoch, or for a batch of it, so that any batch can be the first."""
        seed = np.random.SeedSequence([self.seed, *place]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(seed) >> 1)


def normalise(pixels: Tensor) -> Tensor:
    """uint8 RGB ``(N, S, S, 3)`` to float ``(N, 3, S, S)`` with ImageNet's mean and deviation, laid out channels last."""
    scale = torch.tensor([1 / (255 * s) for s in STD], device=pixels.device)
    shift = torch.tensor([m / s for m, s in zip(MEAN, STD, strict=True)], device=pixels.device)
    return torch.addcmul(-shift, pixels.float(), scale).permute(0, 3, 1, 2)


def draw_changes(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """For each of ``count`` images whether it is mirrored, its gain and its offset: ``(N,)`` each."""
    mirrored = torch.rand(count, generator=generator) < 0.5
    gain = 1 + 0.15 * (2 * torch.rand(count, generator=generator) - 1)
    offset = 0.2 * (2 * torch.rand(count, generator=generator) - 1)
    return mirrored, gain, offset


def augment(images: Tensor, gaze: Tensor, mirrored: Tensor, gain: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Mirrors images, which negates their yaw, and changes brightness and contrast by a gain and an offset each."""
    mirrored, gain, offset = (values.to(images.device)[:, None, None, None] for values in (mirrored, gain, offset))
    images = torch.where(mirrored, images.flip(3), images) * gain + offset
    sign = torch.where(mirrored.flatten(), -1.0, 1.0)
    return images.contiguous(memory_format=torch.channels_last), torch.stack([gaze[:, 0], gaze[:, 1] * sign], 1)
