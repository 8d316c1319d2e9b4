"""MPIIFaceGaze in GazeHub's text layout: ``Label/p00.label`` to ``p14.label``, 3,000 rows a person.

Half of the rows are mirrored images whose labels are mirrored too, so nothing is mirrored here. Labels are in frame
``SR``, rotated and scaled; unless that frame is asked for, the scale in the last column is undone: what was stored as
``(x, y, s z)`` is ``(x, y, z)`` in frame ``R``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gazenas.data.dataset import GazeFolder
from gazenas.data.readers.labels import Columns, label_files, numbers, open_labels
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError

SCALE = 10


def scale_of(row: Sequence[str]) -> float:
    """The factor on depth: column 10 holds it alone, as the diagonal of a matrix, or as the matrix.

    Raises:
        ValueError: where it holds something else.
    """
    if len(row) <= SCALE:
        raise ValueError(f"expected the scale in column {SCALE}, found {len(row)} columns")
    count = row[SCALE].count(",") + 1
    if count not in (1, 3, 9):
        raise ValueError(f"scale: expected 1, 3 or 9 comma-separated numbers, found {row[SCALE][:60]!r}")
    values = numbers(row[SCALE], count, "scale")
    scale = float(values[-1] / (values[0] if count > 1 else 1.0)) if values[0] else 0.0
    if not 0.05 < scale < 20:
        raise ValueError(f"scale: expected a factor between 0.05 and 20, found {scale:g}")
    return scale


def open_mpiifacegaze(folder: Path, reading: Reading) -> GazeFolder:
    """One part a person, in frame ``R`` by default or ``SR``.

    Raises:
        InputError: where label files are missing or cannot be read as a whole.
    """
    reading.refuse("MPIIFaceGaze's text", "unit", "colors", "undetected")
    wanted = "R" if reading.frame == "auto" else reading.frame
    if wanted not in ("R", "SR"):
        raise InputError(f"--frame: MPIIFaceGaze's text is in frame SR and can be turned into R, found {wanted!r}")
    columns = Columns(
        person=lambda row: row[0].replace("\\", "/").split("/")[0],
        vector=5,
        angles=7,
        head=8,
        depth_scale=scale_of if wanted == "R" else None,
    )
    paths = label_files(folder, ("Label",), "p*.label")
    opened = open_labels(
        folder, {path.stem: path for path in paths}, columns, reading, dataset="mpiifacegaze", frame=wanted
    )
    scale = "undone with column 10" if wanted == "R" else "kept"
    opened.notes.append(f"mpiifacegaze: the scale of depth is {scale}")
    opened.choices["scale"] = scale
    return opened
