"""300W-LP and AFLW2000 (Zhu et al., CVPR 2016): pictures with a ``.mat`` of the same name, and head pose in it.

300W-LP has the folders ``AFW``, ``HELEN``, ``IBUG`` and ``LFPW`` and mirrored ones whose names end in ``_Flip``;
AFLW2000 has ``image00002.mat`` and so on. ``Pose_Para`` begins with pitch, yaw and roll in radians, ``pt2d`` holds
points of the face by which it is cut out, as HopeNet cuts it (Ruiz et al., CVPRW 2018). Images with an angle of 99
degrees or more are left out, as everywhere in that literature: 31 of AFLW2000's 2,000.

Neither names people. A photograph of 300W-LP comes at many rendered poses and mirrored, all of which stay together.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from gazenas.data.dataset import GazeFolder, GazeSplit, RowFault
from gazenas.data.hdf5_layout import ROLL
from gazenas.data.pictures import CutPictures
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.tasks.head_pose import printed_to_rotation, rotation_to_pose

SIZE = 224  # of the images where none is asked for
LIMIT = np.deg2rad(99)
SETS = ("AFW", "HELEN", "IBUG", "LFPW")
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


def loose_box(points: NDArray[Any], share: float) -> Box:
    """HopeNet's cut of 300W-LP around ``(2, n)`` points, by a share that its training draws between 0.2 and 0.4.

    Each side moves by a share of the box as the sides before it left it.
    """
    (left, top), (right, bottom) = points.min(1), points.max(1)
    left -= 0.6 * share * (right - left)
    top -= 2 * share * (bottom - top)
    right += 0.6 * share * (right - left)
    bottom += 0.6 * share * (bottom - top)
    return float(left), float(top), float(right), float(bottom)


def wide_box(points: NDArray[Any], share: float = 0.2) -> Box:
    """HopeNet's cut of AFLW2000, the same with other factors; points at -1, which were not seen, count as they do
    there."""
    (left, top), (right, bottom) = points.min(1), points.max(1)
    left -= 2 * share * (right - left)
    top -= 2 * share * (bottom - top)
    right += 2 * share * (right - left)
    bottom += 0.6 * share * (bottom - top)
    return float(left), float(top), float(right), float(bottom)


def open_300w_lp(folder: Path, reading: Reading) -> GazeFolder:
    """One part, ``train``, of which a tenth of the photographs is drawn to validate by the split seed.

    Raises:
        InputError: where a file is damaged or lacks a field.
    """
    reading.refuse("300W-LP", "order", "unit", "frame", "flip", "colors", "undetected")
    paths = sorted(path for name in SETS for each in (name, f"{name}_Flip") for path in (folder / each).glob("*.mat"))

    def photo(path: Path) -> str:
        return f"{path.parent.name.removesuffix('_Flip')}/{re.sub(r'_[0-9]+$', '', path.stem)}"

    def box(path: Path, points: NDArray[np.float64]) -> Box:
        return loose_box(points, 0.2 + 0.2 * (zlib.crc32(path.name.encode()) % 1000) / 1000)

    pool, faults, notes = _read(folder, paths, reading, "300w-lp", photo, box)
    count = max(1, len(pool.people) // 10)
    if len(pool.people) < 2:
        raise InputError(f"{folder}: expected at least two photographs, to train on and to validate, found one")
    drawn = np.random.default_rng(reading.split_seed).choice(len(pool.people), count, replace=False)
    held = np.isin(pool.person, drawn)
    splits = {"train": pool.at(np.flatnonzero(~held), "train"), "val": pool.at(np.flatnonzero(held), "val")}
    notes.append(f"300w-lp: {count} of {len(pool.people)} photographs validate, drawn by seed {reading.split_seed}")
    return GazeFolder(folder, pool.size, "none", splits, notes, "300w-lp", "recording", {}, faults)


def open_aflw2000(folder: Path, reading: Reading) -> GazeFolder:
    """One part, ``test``, each picture a person's.

    Raises:
        InputError: where a file is damaged or lacks a field.
    """
    reading.refuse("AFLW2000", "order", "unit", "frame", "flip", "colors", "undetected")
    paths = sorted(folder.glob("image[0-9]*.mat"))
    pool, faults, notes = _read(folder, paths, reading, "aflw2000", lambda path: path.stem, lambda _, p: wide_box(p))
    return GazeFolder(folder, pool.size, "none", {"test": pool}, notes, "aflw2000", "recording", {}, faults)


def _read(
    folder: Path,
    paths: Sequence[Path],
    reading: Reading,
    dataset: str,
    photo: Callable[[Path], str],
    box: Callable[[Path, NDArray[np.float64]], Box],
) -> tuple[GazeSplit, list[RowFault], list[str]]:
    """All usable pictures as one part, those that are not with reasons, and what is to be said."""
    if not paths:
        raise InputError(f"{folder}: {dataset}: expected .mat files beside the pictures, found none")
    faults: list[RowFault] = []
    names, photos, angles, boxes, beyond = [], [], [], [], 0
    for path in paths:
        pose, points = _fields(path)
        picture = path.with_suffix(".jpg")
        if np.abs(pose).max() >= LIMIT:
            beyond += 1
        elif not picture.is_file():
            faults.append(RowFault(path.name, f"expected the picture {picture.name} beside it"))
        else:
            names.append(picture.relative_to(folder).as_posix())
            photos.append(photo(path))
            angles.append(pose)
            boxes.append(box(path, points))
    if not names:
        raise InputError(f"{folder}: none of {len(paths)} pictures can be used: {beyond} have an angle of 99 degrees")
    labels = rotation_to_pose(printed_to_rotation(np.array(angles))).astype(np.float32)
    people, person = np.unique(np.array(photos), return_inverse=True)
    size = reading.size or SIZE
    split = GazeSplit(
        name="test",
        people=people.tolist(),
        person=person.astype(np.int64),
        gaze=None,
        head_pose=np.ascontiguousarray(labels[:, :2]),
        size=size,
        images=CutPictures(folder, names, np.array(boxes), size),
        columns={ROLL: np.ascontiguousarray(labels[:, 2:])},
    )
    notes = [
        f"{dataset}: {beyond} of {len(paths)} pictures left out, with an angle of 99 degrees or more",
        f"{dataset} names photographs, not people: everything by photograph",
    ]
    return split, faults, notes


def _fields(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pitch, yaw, roll in radians, and ``(2, n)`` points in pixels."""
    try:
        stored = loadmat(path)
    except (MatReadError, ValueError, OSError, TypeError, NotImplementedError, EOFError, IndexError) as error:
        raise InputError(f"{path}: expected a MATLAB file of version 5 to 7.2: {error}; is it truncated?") from error
    lacking = [key for key in ("Pose_Para", "pt2d") if key not in stored]
    if lacking:
        raise InputError(f"{path}: lacks {', '.join(lacking)} (has: {', '.join(k for k in stored if k[0] != '_')})")
    pose, points = (np.asarray(stored[key]) for key in ("Pose_Para", "pt2d"))
    if pose.size < 3 or pose.dtype.kind not in "iuf" or not np.isfinite(pose.reshape(-1)[:3].astype(float)).all():
        raise InputError(f"{path}: Pose_Para: expected pitch, yaw and roll first, found {pose.dtype} {pose.shape}")
    if points.ndim != 2 or points.shape[0] != 2 or points.shape[1] < 2 or points.dtype.kind not in "iuf":
        raise InputError(f"{path}: pt2d: expected shape (2, points), found {points.dtype} {points.shape}")
    return pose.reshape(-1)[:3].astype(np.float64), points.astype(np.float64)
