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
from gazenas.models.network import MEAN, STD


@dataclass
class Batch:
    """``images`` ``(N, 3, S, S)`` float; ``gaze`` ``(N, 2)`` radians (zeros where unknown); ``rows`` ``(N,)`` of the split."""

    images: Tensor
    gaze: Tensor
    rows: NDArray[np.int64]


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
        batch_size: rows a batch; in training a smaller last batch is left out.
        seed: of shuffling and augmentation.
        train: shuffled and augmented, or in order and as they are.
        workers: processes that read; each runs single-threaded. 0 reads in this one.
        device: where batches go.
    """

    split: GazeSplit
    batch_size: int
    seed: int
    train: bool
    workers: int = 0
    device: str = "cpu"

    def __len__(self) -> int:
        """Batches an epoch."""
        return max(1, len(self.split) // self.batch_size) if self.train else -(-len(self.split) // self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, a function of the seed and ``number`` alone."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        order = np.arange(len(self.split))
        if self.train:
            order = torch.randperm(len(order), generator=generator).numpy()
        starts = range(0, len(self) * self.batch_size, self.batch_size)
        batches = [order[start : start + self.batch_size] for start in starts]
        reader = DataLoader(
            _Rows(self.split, batches), batch_size=None, num_workers=self.workers, pin_memory=self.device != "cpu"
        )
        for pixels, gaze, rows in reader:
            images, gaze = normalise(pixels.to(self.device)), gaze.to(self.device)
            if self.train:
                images, gaze = augment(images, gaze, generator)
            yield Batch(images, gaze, rows)


def normalise(pixels: Tensor) -> Tensor:
    """uint8 RGB ``(N, S, S, 3)`` to float ``(N, 3, S, S)`` with ImageNet's mean and deviation, laid out channels last."""
    scale = torch.tensor([1 / (255 * s) for s in STD], device=pixels.device)
    shift = torch.tensor([m / s for m, s in zip(MEAN, STD, strict=True)], device=pixels.device)
    return torch.addcmul(-shift, pixels.float(), scale).permute(0, 3, 1, 2)


def augment(images: Tensor, gaze: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirrors half of the images, which negates their yaw, and changes brightness and contrast a little."""
    count = images.shape[0]
    mirrored = torch.rand(count, generator=generator) < 0.5
    gain = 1 + 0.15 * (2 * torch.rand(count, 1, 1, 1, generator=generator) - 1)
    offset = 0.2 * (2 * torch.rand(count, 1, 1, 1, generator=generator) - 1)
    mirrored, gain, offset = (values.to(images.device) for values in (mirrored, gain, offset))
    images = torch.where(mirrored[:, None, None, None], images.flip(3), images) * gain + offset
    sign = torch.where(mirrored, -1.0, 1.0)
    return images.contiguous(memory_format=torch.channels_last), torch.stack([gaze[:, 0], gaze[:, 1] * sign], 1)
