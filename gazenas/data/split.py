"""What every reader of a data set gives: splits of images with labels in this package's convention."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gazenas.architecture import InputError


class Images(Protocol):
    """Gives images by row, and names rows."""

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(n, S, S, 3)`` RGB."""
        ...

    def name(self, row: int) -> str:
        """Where the row comes from."""
        ...


@dataclass
class GazeSplit:
    """Images of some people.

    Attributes:
        name: ``train``, ``val`` or ``test``.
        people: names.
        person: ``(N,)`` index into ``people``.
        gaze: ``(N, 2)`` pitch and yaw in radians, or None where the data set keeps them to itself.
        head_pose: ``(N, 2)`` the same for the head, or None.
        size: side of the images in pixels.
        images: reads ``(n, S, S, 3)`` uint8 RGB by rows.
    """

    name: str
    people: list[str]
    person: NDArray[np.int64]
    gaze: NDArray[np.float32] | None
    head_pose: NDArray[np.float32] | None
    size: int
    images: Images

    def __len__(self) -> int:
        return len(self.person)

    def in_memory(self, limit: int) -> GazeSplit:
        """The same split with its images in memory where they take at most ``limit`` bytes, else itself."""
        if len(self) * self.size**2 * 3 > limit or isinstance(self.images, LoadedImages):
            return self
        images = LoadedImages(self.images(np.arange(len(self))), self.images)
        return GazeSplit(self.name, self.people, self.person, self.gaze, self.head_pose, self.size, images)


@dataclass
class LoadedImages:
    """Images held in memory, and the reader that knows their names."""

    values: NDArray[np.uint8]
    source: Images

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(n, S, S, 3)`` RGB."""
        images: NDArray[np.uint8] = self.values[rows]
        return images

    def name(self, row: int) -> str:
        """Where the row comes from."""
        return self.source.name(row)


@dataclass
class GazeFolder:
    """A data folder, opened and checked.

    Attributes:
        folder: where it lies.
        size: side of the images in pixels.
        frame: the normalised frame of the labels: ``R``, ``SR`` or ``none``.
        splits: by name; ``test`` may be absent.
        notes: what the reader decided, to be printed by every verb.
    """

    folder: Path
    size: int
    frame: str
    splits: dict[str, GazeSplit]
    notes: list[str]

    def split(self, name: str) -> GazeSplit:
        """A split by name.

        Raises:
            InputError: where the folder lacks it.
        """
        if name not in self.splits:
            raise InputError(f"{self.folder}: has no {name} split (has: {', '.join(self.splits)})")
        return self.splits[name]

    def expect_size(self, input_size: int, what: str) -> None:
        """Checks that the images fit a network.

        Raises:
            InputError: where they do not.
        """
        if self.size != input_size:
            raise InputError(f"{self.folder}: images are {self.size} pixels wide, {what} expects {input_size}")
