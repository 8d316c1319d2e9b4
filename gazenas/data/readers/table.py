"""A plain table for one's own data: CSV with ``image, person, pitch, yaw``, and ``session``, ``head_pitch``,
``head_yaw`` at will.

Paths are relative to the table. The header says the unit (``pitch_deg``, ``yaw_deg`` or ``pitch_rad``, ``yaw_rad``), or
a flag does.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.dataset import GazeFolder, RowFault
from gazenas.data.pictures import PictureFiles, picture_side
from gazenas.data.readers.convention import flipped
from gazenas.data.readers.labels import Rows, in_range, make_split
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError

UNITS = {"deg": "degrees", "degrees": "degrees", "rad": "radians", "radians": "radians"}


def open_table(folder: Path, reading: Reading) -> GazeFolder:
    """One part, ``all``; ``folder`` is the CSV file or holds exactly one.

    Raises:
        InputError: where there is no table, a column is missing, the unit is not said or nothing can be read.
    """
    reading.refuse("a table", "order", "colors", "undetected")
    path = _find(folder)
    names, lines = _read(path)
    unit = _unit(path, names, reading)
    frame = "R" if reading.frame == "auto" else reading.frame
    rows, faults = Rows(), []
    for number, line in lines:
        try:
            _add_row(rows, line, names, unit, reading)
        except ValueError as error:
            faults.append(RowFault(f"{path.name}:{number}", str(error)))
    if not rows.faces:
        raise InputError(
            f"{path}: none of {len(lines)} rows can be read" + (f"; the first: {faults[0].reason}" if faults else "")
        )
    size = reading.size or picture_side(path.parent, rows.faces)
    split = make_split("all", rows, PictureFiles(path.parent, rows.faces, size))
    notes = [f"table: angles in {unit}, frame {frame}" + ("" if reading.frame != "auto" else " (--frame says another)")]
    if faults:
        notes.append(f"{len(faults)} rows left out, the first: {faults[0].where}: {faults[0].reason}")
    choices = {"unit": unit, "frame": frame, "flip": reading.flip or "none"}
    return GazeFolder(path.parent, size, frame, {"all": split}, notes, "table", "person", choices, faults)


def _find(folder: Path) -> Path:
    if folder.is_file():
        return folder
    found = sorted(folder.glob("*.csv"))
    if len(found) != 1:
        raise InputError(f"{folder}: expected one CSV file, found {len(found)}: {', '.join(p.name for p in found[:4])}")
    return found[0]


def _read(path: Path) -> tuple[dict[str, str], list[tuple[int, dict[str, str]]]]:
    """The header's words by what they hold, and the rows with their line numbers."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = [word.strip() for word in reader.fieldnames or []]
            reader.fieldnames = header
            lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV table: {error}") from error
    names: dict[str, str] = {}
    for word in header:
        key = word.lower()
        for unit in UNITS:
            key = key.removesuffix(f"_{unit}")
        if key in names:
            raise InputError(f"{path}: two columns hold {key}: {names[key]!r} and {word!r}")
        names[key] = word
    lacking = [key for key in ("image", "person", "pitch", "yaw") if key not in names]
    if lacking:
        raise InputError(f"{path}: lacks {', '.join(lacking)} in its header (has: {', '.join(header) or 'nothing'})")
    if ("head_pitch" in names) != ("head_yaw" in names):
        raise InputError(f"{path}: expected head_pitch and head_yaw together, found one of them")
    if not lines:
        raise InputError(f"{path}: has a header but no rows")
    return names, lines


def _unit(path: Path, names: dict[str, str], reading: Reading) -> str:
    said = {UNITS[word.rsplit("_", 1)[-1].lower()] for key in ("pitch", "yaw") if (word := names[key]).lower() != key}
    if len(said) > 1:
        raise InputError(f"{path}: {names['pitch']!r} and {names['yaw']!r} are in different units")
    if said and reading.unit not in ("auto", *said):
        raise InputError(f"{path}: the header says {said.pop()}, --unit says {reading.unit}")
    if not said and reading.unit == "auto":
        raise InputError(f"{path}: say the unit: name the columns pitch_deg, yaw_deg (or _rad), or give --unit")
    return said.pop() if said else reading.unit


def _add_row(rows: Rows, line: dict[str, str], names: dict[str, str], unit: str, reading: Reading) -> None:
    if None in line or None in line.values():
        raise ValueError(f"expected {len(names)} columns as in the header, found another number")
    image, person = line[names["image"]].strip(), line[names["person"]].strip()
    if not image or not person:
        raise ValueError(f"expected an image and a person, found {image!r} and {person!r}")
    if Path(image).is_absolute() or ".." in Path(image).parts:
        raise ValueError(f"expected an image path within the table's folder, found {image!r}")
    gaze = _angles(line, names, ("pitch", "yaw"), unit)
    head = _angles(line, names, ("head_pitch", "head_yaw"), unit) if "head_pitch" in names else None
    rows.faces.append(image)
    rows.people.append(person)
    rows.sessions.append(line[names["session"]].strip() if "session" in names else "")
    rows.gaze.append(flipped(gaze[None], reading.flip)[0])
    if head is not None:
        rows.head.append(flipped(head[None], reading.flip)[0])


def _angles(line: dict[str, str], names: dict[str, str], keys: tuple[str, str], unit: str) -> Floats:
    try:
        angles = np.array([float(line[names[key]]) for key in keys])
    except ValueError:
        found = ", ".join(repr(line[names[key]]) for key in keys)
        raise ValueError(f"{' and '.join(keys)}: expected numbers, found {found}") from None
    if not np.isfinite(angles).all():
        raise ValueError(f"{' and '.join(keys)}: expected finite numbers, found {angles.tolist()}")
    return in_range(np.deg2rad(angles) if unit == "degrees" else angles, " and ".join(keys))
