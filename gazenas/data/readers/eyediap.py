"""EYEDIAP in GazeHub's text layout: four files in ``ClusterLabel/``, or one a person in ``Label/``; people 1 to 11 and
14 to 16, frame ``R``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gazenas.data.dataset import GazeFolder
from gazenas.data.readers.labels import Columns, label_files, open_labels
from gazenas.data.readers.reading import Reading


def eyediap_person(row: Sequence[str]) -> str:
    """The number with which a session such as ``1_A_CS_M_16`` begins.

    Raises:
        ValueError: where column 3 is no session.
    """
    number = row[3].split("_")[0]
    if not number.isdigit():
        raise ValueError(f"session: expected a name such as 1_A_CS_M_16 in column 3, found {row[3][:40]!r}")
    return f"p{int(number):02d}"


def open_eyediap(folder: Path, reading: Reading) -> GazeFolder:
    """One part a cluster file, the folds of the published evaluation; one part a file of ``Label/`` where there are
    none.

    Raises:
        InputError: where label files are missing or cannot be read as a whole.
    """
    reading.refuse("EYEDIAP's text", "unit", "frame", "colors", "undetected")
    columns = Columns(person=eyediap_person, vector=4, angles=6, head=7, session=lambda row: row[3])
    paths = label_files(folder, ("ClusterLabel", "Label"), "*.label")
    parts = {path.stem.lower(): path for path in paths}
    opened = open_labels(folder, parts, columns, reading, dataset="eyediap", frame="R")
    opened.choices["labels"] = paths[0].parent.name
    return opened
