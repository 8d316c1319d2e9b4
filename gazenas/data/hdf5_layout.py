"""ETH-XGaze's preprocessed HDF5 layout: names of files, parts and keys, and how one person's file is written.

A folder holds ``train/``, ``test/`` (and ``test_person_specific/``), ``train_test_split.json`` with lists of file
names, and, where this package wrote it, ``dataset.json``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gazenas.files import write_aside

SPLIT_FILE, METADATA_FILE = "train_test_split.json", "dataset.json"
PARTS = ("train", "val", "test", "test_person_specific")  # lists of the split file; the published one has no val
PATCHES, GAZE, HEAD_POSE = "face_patch", "face_gaze", "face_head_pose"  # (N, S, S, 3) uint8 BGR; (N, 2) pitch and yaw
ROLL, EYE_LANDMARKS = "head_roll", "eye_landmarks"  # (N, 1) radians; (N, 25) pixels
SCREEN_POINT = "screen_point"  # (N, 2) centimeters
EYE_BOXES, FACE_BOX = "eye_boxes", "face_box"  # (N, 8) shares of the patch; (N, 4) shares of the camera's picture
FRAME_INDEX, CAMERA_INDEX = "frame_index", "cam_index"  # (N, 1)
ROTATION, LANDMARKS = "face_mat_norm", "facial_landmarks"  # (N, 3, 3) camera to normalized view; (N, 68, 2) pixels
SESSION, SESSION_NAMES, SOURCE = (
    "session",
    "names",
    "source",
)  # (N,) numbers, their names as an attribute; (N,) image files


def current_choices(choices: Mapping[str, Any]) -> dict[str, Any]:
    """How labels were read, with the keys that older files spell otherwise."""
    return {{"colours": "colors"}.get(key, key): value for key, value in choices.items()}


def part_folder(folder: Path, part: str) -> Path:
    """Where the files of a part lie; those of ``train`` and ``val`` lie together."""
    if part == "test_person_specific":
        return next((folder / name for name in (part, "test_specific") if (folder / name).is_dir()), folder / part)
    return folder / ("test" if part == "test" else "train")


def write_person(
    path: Path,
    images: NDArray[np.uint8],
    columns: Mapping[str, NDArray[Any]],
    *,
    session_names: Sequence[str] = (),
    compressed: bool = False,
) -> None:
    """Writes one file whole or not at all.

    Args:
        path: of the file, in a folder that is there.
        images: ``(N, S, S, 3)`` RGB, or ``(N, S, S, 1)`` gray.
        columns: further keys with ``N`` rows each, in order.
        session_names: of the numbers in the column ``session``.
        compressed: whether each image is compressed by itself.
    """
    side = images.shape[1]
    storage = {"chunks": (1, side, side, images.shape[3]), "compression": "lzf"} if compressed else {}
    # In memory first: HDF5 itself aborts the process where a disk fills up while it writes.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset(PATCHES, data=images[..., ::-1], track_times=False, **storage)
        for key, values in columns.items():
            file.create_dataset(key, data=values, track_times=False)
            if key == SESSION:
                file[SESSION].attrs[SESSION_NAMES] = json.dumps(list(session_names))
    with write_aside(path) as aside:
        aside.write_bytes(buffer.getbuffer())
