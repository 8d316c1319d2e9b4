"""Gaze360 as published: ``metadata.mat`` and ``imgs/rec_NNN/head/PERSON/FRAME.jpg``; head crops, frame ``none``.

Recordings stand for people, as in :mod:`.gaze360`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from gazenas.data.dataset import GazeFolder, RowFault
from gazenas.data.pictures import PictureFiles, picture_side
from gazenas.data.readers.gaze360 import TO_OURS
from gazenas.data.readers.labels import Rows, make_split
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.gaze import vectors_to_angles

PARTS = {0: "train", 1: "val", 2: "test"}  # 3 is unused


def open_gaze360_mat(folder: Path, reading: Reading) -> GazeFolder:
    """The data set's own ``train``, ``val`` and ``test``; heads without a detected face only with ``undetected``.

    Raises:
        InputError: where ``metadata.mat`` is absent, damaged or lacks an array.
    """
    reading.refuse("Gaze360's metadata", "order", "unit", "frame", "flip", "colors")
    path = folder / "metadata.mat"
    values = _read(path)
    count = len(values["split"])
    gaze = values["gaze_dir"].astype(np.float64) * TO_OURS
    length = np.linalg.norm(gaze, axis=1)
    usable = np.isfinite(gaze).all(1) & (length > 0.5) & (length < 2)
    detected = (values["person_face_bbox"] != -1).all(1)
    wanted = np.isin(values["split"], list(PARTS)) & (detected | reading.undetected)
    faults = [
        RowFault(
            f"metadata.mat:{row}", f"gaze_dir: expected about unit length, found {values['gaze_dir'][row].tolist()}"
        )
        for row in np.flatnonzero(wanted & ~usable)
    ]
    root = folder / "imgs" if (folder / "imgs").is_dir() else folder
    names = values["recordings"]
    splits, size = {}, reading.size
    angles = vectors_to_angles(np.where(usable[:, None], gaze, 1.0))
    for number, part in PARTS.items():
        rows = Rows()
        for row in np.flatnonzero(wanted & usable & (values["split"] == number)):
            recording = str(names[values["recording"][row]])
            person, frame = values["person_identity"][row], values["frame"][row]
            rows.faces.append(f"{recording}/head/{person:06d}/{frame:06d}.jpg")
            rows.people.append(recording)
            rows.sessions.append("")
            rows.gaze.append(angles[row])
        if rows.faces:
            size = size or picture_side(root, rows.faces)
            splits[part] = make_split(part, rows, PictureFiles(root, rows.faces, size))
    if not splits:
        raise InputError(f"{path}: none of {count} rows can be used: {int((~detected).sum())} have no detected face")
    left_out = int((~detected).sum()) if not reading.undetected else 0
    notes = [
        f"gaze360: {left_out} of {count} heads without a detected face left out" if left_out else "gaze360: all heads",
        "gaze360 names recordings, not people: everything by recording",
    ]
    choices = {"undetected": "kept" if reading.undetected else "left out"}
    return GazeFolder(folder, size, "none", splits, notes, "gaze360-mat", "recording", choices, faults)


def _read(path: Path) -> dict[str, Any]:
    """The arrays of ``metadata.mat``, checked against one another."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; Gaze360's own layout has one")
    try:
        stored = loadmat(path, squeeze_me=True, chars_as_strings=True)
    except (MatReadError, ValueError, OSError, TypeError, NotImplementedError, EOFError, IndexError) as error:
        raise InputError(f"{path}: expected a MATLAB file of version 5 to 7.2: {error}; is it truncated?") from error
    keys = ("recording", "frame", "person_identity", "gaze_dir", "split", "person_face_bbox", "person_head_bbox")
    lacking = [key for key in keys if key not in stored]
    if lacking:
        raise InputError(f"{path}: lacks {', '.join(lacking)} (has: {', '.join(k for k in stored if k[0] != '_')})")
    values: dict[str, Any] = {key: np.atleast_1d(stored[key]) for key in keys}
    count = len(values["split"])
    shapes = {"gaze_dir": (count, 3), "person_face_bbox": (count, 4), "person_head_bbox": (count, 4)}
    for key in keys:
        expected = shapes.get(key, (count,))
        if key in shapes and count == 1:
            values[key] = values[key].reshape(expected)
        if values[key].shape != expected or values[key].dtype.kind not in "iuf":
            found = f"{values[key].dtype} {values[key].shape}"
            raise InputError(
                f"{path}: {key}: expected numbers of shape {expected}, as many rows as split has, found {found}"
            )
    for key in ("recording", "frame", "person_identity", "split"):
        values[key] = values[key].astype(np.int64)
    values["recordings"] = _recordings(path, stored, values["recording"])
    return values


def _recordings(path: Path, stored: dict[str, Any], numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Names of the recordings by number; ``rec_NNN`` where the file has no list of names."""
    if "recordings" not in stored:
        return np.array([f"rec_{number:03d}" for number in range(int(numbers.max()) + 1)])
    names = np.char.strip(np.atleast_1d(stored["recordings"]).astype(str))
    if numbers.min() < 0 or numbers.max() >= len(names):
        raise InputError(
            f"{path}: recording: expected numbers from 0 to {len(names) - 1}, found {numbers.min()} to {numbers.max()}"
        )
    outside = [name for name in names.tolist() if "/" in name or "\\" in name or name in ("", ".", "..")]
    if outside:
        raise InputError(f"{path}: recordings: expected names of folders such as rec_000, found {outside[0]!r}")
    return names
