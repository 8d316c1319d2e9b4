"""Gaze360 in GazeHub's text layout: ``train.label``, ``val.label``, ``test.label``; plain crops, frame ``none``.

Vectors are in the data set's own eye frame (x left, y up, z away from the camera). It says who is who only within a
recording, so recordings stand for people.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.dataset import GazeFolder
from gazenas.data.readers.labels import Columns, label_files, open_labels
from gazenas.data.readers.reading import Reading

TO_OURS = np.array([-1.0, -1.0, 1.0])


def recording_of(row: Sequence[str]) -> str:
    """The recording, ``rec_NNN``, with which the name of a row begins.

    Raises:
        ValueError: where column 3 begins otherwise.
    """
    found = re.match(r"rec_\d+", row[3])
    if not found:
        raise ValueError(f"name: expected one that begins with rec_NNN in column 3, found {row[3][:40]!r}")
    return found.group()


def to_ours(vector: Floats, row: Sequence[str]) -> Floats:
    """A vector of the data set's eye frame in this package's."""
    turned: Floats = vector * TO_OURS
    return turned


def open_gaze360(folder: Path, reading: Reading) -> GazeFolder:
    """The data set's own ``train``, ``val`` and ``test``.

    Raises:
        InputError: where label files are missing or cannot be read as a whole.
    """
    reading.refuse("Gaze360's text", "unit", "frame", "colors", "undetected")
    columns = Columns(person=recording_of, vector=4, angles=5, to_ours=to_ours)
    parts = {path.stem: path for path in label_files(folder, ("Label",), "*.label")}
    return open_labels(folder, parts, columns, reading, dataset="gaze360", frame="none", group="recording")
