"""MPIIFaceGaze as published, normalized: ``p00.mat`` and so on, MATLAB 7.3, which is HDF5.

``Data/data`` holds ``(N, 3, H, W)`` BGR images, ``Data/label`` ``(N, >= 4)``: pitch and yaw of the gaze, then of the
head. Public readers disagree on the signs; ``gazenas data check`` says which the labels fit, ``flip`` turns them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gazenas.data.dataset import GazeFolder, GazeSplit, RowFault
from gazenas.data.pictures import resized
from gazenas.data.readers.convention import flipped
from gazenas.data.readers.labels import in_range
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError


class MatImages:
    """Images of one person's file by row, the file opened once a process."""

    def __init__(self, path: Path, rows: NDArray[np.int64], size: int, bgr: bool) -> None:
        self.path, self.rows, self.size, self.bgr = path, rows, size, bgr
        self._file: h5py.File | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(n, S, S, 3)`` RGB.

        Raises:
            InputError: where rows cannot be read.
        """
        images = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        try:
            self._file = self._file or h5py.File(self.path, "r")
            stored = self._file["Data/data"]
            for index, row in enumerate(self.rows[rows]):
                image = np.asarray(stored[int(row)]).transpose(1, 2, 0).round().clip(0, 255).astype(np.uint8)
                images[index] = resized(Image.fromarray(image[..., ::-1] if self.bgr else image), self.size)
        except OSError as error:
            raise InputError(f"{self.path}: Data/data cannot be read: {error}; is the file truncated?") from error
        return images

    def name(self, row: int) -> str:
        """File and row within it."""
        return f"{self.path.name}:{self.rows[row]}"


def open_mpiifacegaze_mat(folder: Path, reading: Reading) -> GazeFolder:
    """One part a person, in frame ``SR`` unless another is said: its files hold no scale to undo.

    Raises:
        InputError: where a file cannot be read as a whole.
    """
    reading.refuse("MPIIFaceGaze's files", "unit", "undetected")
    paths = sorted(folder.glob("p[0-9][0-9].mat"))
    if not paths:
        raise InputError(f"{folder}: expected p00.mat and so on, found none")
    frame = "SR" if reading.frame == "auto" else reading.frame
    faults: list[RowFault] = []
    splits = {path.stem: _open(path, reading, faults) for path in paths}
    sizes = {split.size for split in splits.values()}
    if len(sizes) > 1:
        raise InputError(f"{folder}: expected images of one size, found sides {sorted(sizes)}; --size makes them equal")
    choices = {"order": "pitch,yaw" if reading.order == "auto" else reading.order, "flip": reading.flip or "none"}
    choices["colors"] = "BGR" if reading.colors == "auto" else reading.colors
    notes = [
        f"mpiifacegaze-mat: angles read as {choices['order']}, signs flipped: {choices['flip']}, colors "
        f"{choices['colors']}, frame {frame}; public readers disagree on the signs: 'gazenas data check' compares"
    ]
    return GazeFolder(folder, sizes.pop(), frame, splits, notes, "mpiifacegaze-mat", "person", choices, faults)


def _open(path: Path, reading: Reading, faults: list[RowFault]) -> GazeSplit:
    try:
        with h5py.File(path, "r") as file:
            images, labels = file.get("Data/data"), file.get("Data/label")
            shape: tuple[int, ...] = getattr(images, "shape", ())
            label_shape: tuple[int, ...] = getattr(labels, "shape", ())
            if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or not shape[0]:
                raise InputError(f"{path}: Data/data: expected shape (N, 3, S, S) with N > 0, found {shape or 'none'}")
            if len(label_shape) != 2 or label_shape[0] != shape[0] or label_shape[1] < 4:
                raise InputError(
                    f"{path}: Data/label: expected shape ({shape[0]}, 4 or more), found {label_shape or 'none'}"
                )
            values = np.asarray(labels[:, :4], np.float64)
    except OSError as error:
        raise InputError(f"{path}: expected a readable MATLAB 7.3 file: {error}; is it truncated?") from error
    turn = slice(None, None, -1 if reading.order == "yaw,pitch" else 1)
    good = []
    for row, angles in enumerate(values):
        try:
            if not np.isfinite(angles).all():
                raise ValueError(f"expected finite angles, found {angles.tolist()}")
            in_range(angles[:2][turn], "gaze angles")
            in_range(angles[2:][turn], "head angles")
            good.append(row)
        except ValueError as error:
            faults.append(RowFault(f"{path.name}:{row}", str(error)))
    if len(good) * 2 < len(values):
        raise InputError(
            f"{path}: {len(values) - len(good)} of {len(values)} rows cannot be used; the first: {faults[0].reason}"
        )
    rows = np.array(good, np.int64)
    size = reading.size or shape[2]
    return GazeSplit(
        name=path.stem,
        people=[path.stem],
        person=np.zeros(len(rows), np.int64),
        gaze=flipped(values[rows, :2][:, turn], reading.flip).astype(np.float32),
        head_pose=flipped(values[rows, 2:][:, turn], reading.flip).astype(np.float32),
        size=size,
        images=MatImages(path, rows, size, reading.colors != "RGB"),
    )
