"""GazeCapture: written as published, read with its own split, cut by its boxes; damaged folders are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.tasks import TASKS

FRAMES = 4


def write(folder: Path, name: str, part: str, **change: Any) -> None:
    """A recording whose face is a white square in a gray frame, and whose second frame has no valid eye."""
    recording = folder / name
    (recording / "frames").mkdir(parents=True)
    for frame in range(FRAMES):
        image = np.full((60, 80, 3), 90, np.uint8)
        image[10:40, 20:50] = 255
        Image.fromarray(image).save(recording / "frames" / f"{frame:05d}.jpg", quality=95)
    ones = [1] * FRAMES
    box = {"X": [20] * FRAMES, "Y": [10] * FRAMES, "W": [30] * FRAMES, "H": [30] * FRAMES, "IsValid": ones}
    files: dict[str, Any] = {
        "appleFace": box,
        "appleLeftEye": {"IsValid": [1, 0, 1, 1]},
        "appleRightEye": {"IsValid": ones},
        "faceGrid": {"IsValid": ones},
        "dotInfo": {"XCam": [1.064, 2, 3, 4], "YCam": [-6.006, -2, -3, 4]},
        "frames": [f"{frame:05d}.jpg" for frame in range(FRAMES)],
        "info": {"Dataset": part},
    }
    for key, values in (files | change).items():
        (recording / f"{key}.json").write_text(json.dumps(values))


def test_its_own_split_and_labels(tmp_path: Path) -> None:
    for name, part in (("00002", "train"), ("00003", "train"), ("00010", "val"), ("01000", "test")):
        write(tmp_path, name, part)
    opened = open_data(tmp_path, Reading(size=32))
    assert (opened.dataset, opened.group) == ("gazecapture", "recording")
    assert {name: split.people for name, split in opened.splits.items()} == {
        "train": ["00002", "00003"],
        "val": ["00010"],
        "test": ["01000"],
    }
    train = opened.split("train")
    assert [train.images.name(row) for row in range(3)] == [f"00002/frames/0000{frame}.jpg" for frame in (0, 2, 3)]
    labels = TASKS["screen_point"].need(train, "")
    np.testing.assert_allclose(labels[:3], [[-1.064, 6.006], [-3, 3], [-4, -4]], rtol=1e-6)
    assert (train.images(np.array([0, 5])) > 200).all()  # the face alone
    assert "4 frames left out" in opened.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"dotInfo": {"XCam": [1, 2], "YCam": [1, 2]}},
            r"dotInfo.json: XCam: expected 4 entries, one a frame, found 2",
        ),
        ({"appleFace": {"X": [1]}}, r"appleFace.json: Y: expected an array of numbers, found None"),
        ({"info": {"Dataset": "all"}}, "Dataset: expected one of train, val, test, found 'all'"),
        ({"frames": ["../a.jpg"] * 4}, "expected an array of bare file names"),
        ({"frames": {}}, "expected a JSON array, found dict"),
        ({"faceGrid": {"IsValid": [0] * 4}}, "none of the frames of 1 recordings is valid"),
    ],
)
def test_damaged(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write(tmp_path, "00002", "train", **change)
    with pytest.raises(InputError, match=message):
        open_data(tmp_path)
