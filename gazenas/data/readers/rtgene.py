"""RT-GENE in GazeHub's text layout: ``train1.label`` to ``train3.label`` and ``valid.label``, frame ``R``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gazenas.data.dataset import GazeFolder
from gazenas.data.readers.labels import Columns, label_files, open_labels
from gazenas.data.readers.reading import Reading


def rtgene_person(row: Sequence[str]) -> str:
    """The person, ``sNNN``, with which column 3 begins.

    Raises:
        ValueError: where it begins otherwise.
    """
    found = re.match(r"s\d{3}", row[3])
    if not found:
        raise ValueError(f"person: expected one such as s001 in column 3, found {row[3][:40]!r}")
    return found.group()


def open_rtgene(folder: Path, reading: Reading) -> GazeFolder:
    """One part a label file.

    Raises:
        InputError: where label files are missing or cannot be read as a whole.
    """
    reading.refuse("RT-GENE's text", "unit", "frame", "colors", "undetected")
    columns = Columns(person=rtgene_person, vector=4, angles=6, head=7)
    parts = {path.stem: path for path in label_files(folder, ("Label",), "*.label")}
    return open_labels(folder, parts, columns, reading, dataset="rtgene", frame="R")
