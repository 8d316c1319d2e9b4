"""ETH-XGaze in GazeHub's text layout: header ``face gaze head origin cam_index frame_index normmat``, frame ``R``.

Angles are pitch, yaw, unless the file's name holds ``YP``. Rows of the test people have no gaze.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gazenas.data.dataset import GazeFolder
from gazenas.data.readers.labels import Columns, label_files, open_labels, read_lines
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError


def open_ethxgaze_text(folder: Path, reading: Reading) -> GazeFolder:
    """Parts ``train`` and ``test``.

    Raises:
        InputError: where label files are missing, lack a column or cannot be read as a whole.
    """
    reading.refuse("ETH-XGaze's text", "unit", "frame", "colors", "undetected")
    paths: dict[str, Path] = {}
    for path in label_files(folder, ("Label",), "*.label"):
        part = next((name for name in ("train", "val", "test") if path.stem.lower().startswith(name)), path.stem)
        if part in paths:
            raise InputError(f"{path}: {paths[part].name} holds the same part; keep one of the two in Label/")
        paths[part] = path
    columns = {part: _columns(path) for part, path in paths.items()}
    return open_labels(folder, paths, columns, reading, dataset="ethxgaze-text", frame="R")


def _columns(path: Path) -> Columns:
    header, rows = read_lines(path)
    words = [word.lower() for word in header]
    if "face" not in words:
        raise InputError(f"{path}: expected a header with face, gaze, head, found {' '.join(header)[:80]!r}")
    gaze = next((index for index, word in enumerate(words) if word.startswith("gaze")), None)
    head = next((index for index, word in enumerate(words) if word.startswith("head")), None)
    if gaze is not None and all(len(row) == len(header) - 1 for _, row in rows):
        head, gaze = (
            (head - 1 if head is not None and head > gaze else head),
            None,
        )  # the header of train, the rows of test
    face = words.index("face")

    def person_of(row: Sequence[str]) -> str:
        found = re.search(r"subject\d+", row[face])
        if not found:
            raise ValueError(f"person: expected subjectNNNN in the path of the image, found {row[face][:60]!r}")
        return found.group()

    return Columns(
        person=person_of,
        face=face,
        angles=gaze,
        head=head,
        order="yaw,pitch" if "YP" in path.stem else "pitch,yaw",
        gaze_is_optional=True,
    )
