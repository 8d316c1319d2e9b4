"""GazeCapture (Krafka et al., CVPR 2016): a folder of JSON files and frames for each recording, on phones and tablets.

Of each recording ``appleFace.json``, ``appleLeftEye.json``, ``appleRightEye.json``, ``faceGrid.json``,
``dotInfo.json``, ``frames.json`` and ``info.json`` are read, arrays with an entry a frame. Frames count that are valid
in the first four, as in the publication. Faces are cut out by their box; what lies outside the frame is black. Points
are turned from the person's right and up to the image's right and down, where ``screen_point`` has them. Boxes of the
eyes and cells of the face's grid are kept for networks that take them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.data.dataset import GazeFolder, GazeSplit
from gazenas.data.hdf5_layout import EYE_BOXES, FACE_BOX, SCREEN_POINT
from gazenas.data.pictures import CutPictures
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.files import read_json, read_json_list

SIZE = 224  # of the images where none is asked for
VALID = ("appleFace", "appleLeftEye", "appleRightEye", "faceGrid")
PARTS = ("train", "val", "test")
CORNER = ("X", "Y", "W", "H")  # keys of a box
GRID = 25  # cells a side, counted from 1


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
    face = _boxes(recording / "appleFace.json", -1)
    valid = np.ones(len(face), bool)
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
    return str(part), _extra_inputs(recording, face, rows) | {
        "paths": [f"{recording.name}/frames/{names[row]}" for row in rows],
        "boxes": _edges(face)[rows],
        SCREEN_POINT: np.stack([-across, -up], 1)[rows],
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
        columns={
            key: np.concatenate([rows[key] for _, rows in found]).astype(np.float32)
            for key in (SCREEN_POINT, EYE_BOXES, FACE_BOX)
            if all(key in rows for _, rows in found)
        },
    )


def _extra_inputs(
    recording: Path, face: NDArray[np.float64], rows: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Boxes of the eyes, which the files count from the face's corner, and of the face in the grid, where the files
    have more than what is valid."""
    files = [recording / f"{name}.json" for name in VALID[1:]]
    if any(CORNER[0] not in read_json(file) for file in files):
        return {}
    left, right, grid = (_boxes(file, len(face))[rows] for file in files)
    return {
        EYE_BOXES: _from_left(left, right) / np.tile(face[rows, 2:], 4),
        FACE_BOX: _edges(grid - [1, 1, 0, 0]) / GRID,
    }


def _boxes(path: Path, count: int) -> NDArray[np.float64]:
    """``(frames, 4)`` left, top, width and height out of a file, of ``count`` frames where that is known."""
    values = read_json(path)
    first = _numbers(path, values, CORNER[0], count)
    return np.stack([first, *(_numbers(path, values, key, len(first)) for key in CORNER[1:])], 1)


def _edges(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Left, top, right and bottom of the same."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def _from_left(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(frames, 8)`` edges of both eyes, the one at the picture's left first, whoever's left the files mean."""
    swapped = (first[:, 0] > second[:, 0])[:, None]
    left, right = np.where(swapped, second, first), np.where(swapped, first, second)
    return np.concatenate([_edges(left), _edges(right)], 1)


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
