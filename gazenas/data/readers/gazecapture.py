"""GazeCapture (Krafka et al., CVPR 2016): a folder of JSON files and frames for each recording, on phones and tablets.

Of each recording ``appleFace.json``, ``appleLeftEye.json``, ``appleRightEye.json``, ``faceGrid.json``,
``dotInfo.json``, ``frames.json`` and ``info.json`` are read, arrays with an entry a frame. Frames count that are valid
in the first four, as in the publication. Faces are cut out by their box; what lies outside the frame is black. Points
are turned from the person's right and up to the image's right and down, where ``screen_point`` has them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.data.dataset import GazeFolder, GazeSplit
from gazenas.data.hdf5_layout import SCREEN_POINT
from gazenas.data.pictures import CutPictures
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.files import read_json, read_json_list

SIZE = 224  # of the images where none is asked for
VALID = ("appleFace", "appleLeftEye", "appleRightEye", "faceGrid")
PARTS = ("train", "val", "test")


def open_gazecapture(folder: Path, reading: Reading) -> GazeFolder:
    """The data set's own ``train``, ``val`` and ``test``, by recording.

    Raises:
        InputError: where a file is damaged, lacks an array, or arrays of a recording have other lengths.
    """
    reading.refuse("GazeCapture", "order", "unit", "frame", "flip", "colors", "undetected")
    recordings = sorted(path for path in folder.iterdir() if re.fullmatch(r"\d{5}", path.name) and path.is_dir())
    if not recordings:
        raise InputError(f"{folder}: expected a folder of five digits for each recording, found none")
    parts: dict[str, list[tuple[str, dict[str, Any]]]] = {part: [] for part in PARTS}
    left_out = 0
    for recording in recordings:
        part, rows = _read_recording(recording)
        left_out += rows["left_out"]
        if rows["paths"]:
            parts[part].append((recording.name, rows))
    size = reading.size or SIZE
    splits = {part: _joined(folder, part, found, size) for part, found in parts.items() if found}
    if not splits:
        raise InputError(f"{folder}: none of the frames of {len(recordings)} recordings is valid")
    notes = [
        f"gazecapture: {left_out} frames left out, in which face, eyes or grid are not valid",
        "gazecapture names recordings, not people: everything by recording",
    ]
    return GazeFolder(folder, size, "none", splits, notes, "gazecapture", "recording")


def _read_recording(recording: Path) -> tuple[str, dict[str, Any]]:
    """The part that a recording belongs to, and its usable frames: paths, boxes, points."""
    face = read_json(recording / "appleFace.json")
    boxes = {key: _numbers(recording / "appleFace.json", face, key) for key in ("X", "Y", "W", "H")}
    valid = np.ones(len(boxes["X"]), bool)
    for name in VALID:
        path = recording / f"{name}.json"
        valid &= _numbers(path, read_json(path), "IsValid", len(valid)) == 1
    path = recording / "dotInfo.json"
    dots = read_json(path)
    across, up = (_numbers(path, dots, key, len(valid)) for key in ("XCam", "YCam"))
    names, info = _list(recording / "frames.json"), read_json(recording / "info.json")
    part = info.get("Dataset")
    if part not in PARTS:
        raise InputError(f"{recording / 'info.json'}: Dataset: expected one of {', '.join(PARTS)}, found {part!r}")
    if len(names) != len(valid):
        raise InputError(f"{recording / 'frames.json'}: expected {len(valid)} names, found {len(names)}")
    rows = np.flatnonzero(valid)
    left, top = boxes["X"], boxes["Y"]
    return str(part), {
        "paths": [f"{recording.name}/frames/{names[row]}" for row in rows],
        "boxes": np.stack([left, top, left + boxes["W"], top + boxes["H"]], 1)[rows],
        "points": np.stack([-across, -up], 1)[rows],
        "left_out": int((~valid).sum()),
    }


def _joined(folder: Path, part: str, found: list[tuple[str, dict[str, Any]]], size: int) -> GazeSplit:
    paths = [path for _, rows in found for path in rows["paths"]]
    return GazeSplit(
        name=part,
        people=[name for name, _ in found],
        person=np.repeat(np.arange(len(found)), [len(rows["paths"]) for _, rows in found]),
        gaze=None,
        head_pose=None,
        size=size,
        images=CutPictures(folder, paths, np.concatenate([rows["boxes"] for _, rows in found]), size),
        columns={SCREEN_POINT: np.concatenate([rows["points"] for _, rows in found]).astype(np.float32)},
    )


def _numbers(path: Path, values: Any, key: str, count: int = -1) -> NDArray[np.float64]:
    """One array of a file, of ``count`` numbers where that is known."""
    stored = values.get(key) if isinstance(values, dict) else None
    if not isinstance(stored, list) or not all(isinstance(each, int | float) for each in stored):
        raise InputError(f"{path}: {key}: expected an array of numbers, found {str(stored)[:60]}")
    if count >= 0 and len(stored) != count:
        raise InputError(f"{path}: {key}: expected {count} entries, one a frame, found {len(stored)}")
    return np.array(stored, np.float64)


def _list(path: Path) -> list[str]:
    """The names of the frames."""
    names = read_json_list(path)
    if not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise InputError(f"{path}: expected an array of bare file names")
    return names
