"""GazeHub's text labels (Cheng et al., TPAMI 2024): a header line, space-separated columns, commas within vectors.

What the data sets of that layout share; which column holds what, and what the numbers mean, is said in a file for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.data.arrays import Floats
from gazenas.data.dataset import GazeFolder, GazeSplit, RowFault
from gazenas.data.pictures import PictureFiles, picture_side
from gazenas.data.readers.convention import AGREEMENT, best_convention, flipped
from gazenas.data.readers.image_folders import IMAGE_FOLDERS, find_images
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.gaze import angles_to_vectors, angular_error, vectors_to_angles

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
MISSING = ("", "-", "none", "nan", "null")


@dataclass(frozen=True)
class Columns:
    """Where a data set's labels stand, by column from 0; None where it has none.

    Attributes:
        person: the person (or recording) of a row.
        face: path of the image.
        vector: gaze as a vector; ``to_ours`` turns it, given the row, into this package's frame.
        angles: gaze as two angles, read in ``order`` unless the header or the person says otherwise.
        head: head pose as two angles, in the same order.
        session: the recording session of a row.
        depth_scale: of a row's gaze, where depth was scaled and is to be scaled back: ``(x, y, z)`` becomes
            ``(x, y, z / s)``.
        gaze_is_optional: whether rows may lack gaze.
    """

    person: Callable[[Sequence[str]], str]
    face: int = 0
    vector: int | None = None
    angles: int | None = None
    head: int | None = None
    order: str = "yaw,pitch"
    session: Callable[[Sequence[str]], str] | None = None
    to_ours: Callable[[Floats, Sequence[str]], Floats] = lambda vector, row: vector
    depth_scale: Callable[[Sequence[str]], float] | None = None
    gaze_is_optional: bool = False


@dataclass
class Rows:
    """What one label file holds."""

    faces: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    gaze: list[Floats] = field(default_factory=list)
    head: list[Floats] = field(default_factory=list)
    vectors: list[Floats] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    order: str = ""


def read_lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header's words, and the words of each further line with its number from 1.

    Raises:
        InputError: where the file is absent, is no text, has no header or no rows.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such label file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a text file: {error}") from error
    if not lines or not lines[0].strip():
        raise InputError(f"{path}: expected a header line, found {'an empty line' if lines else 'an empty file'}")
    header = lines[0].split()
    if any(word.lower().replace("\\", "/").endswith(SUFFIXES) for word in header):
        raise InputError(
            f"{path}: expected a header line, found a row: {lines[0][:80]!r}; add the line that names columns"
        )
    rows = [(number, line.split()) for number, line in enumerate(lines[1:], 2) if line.strip()]
    if not rows:
        raise InputError(f"{path}: has a header but no rows")
    return header, rows


def numbers(text: str, count: int, what: str) -> NDArray[np.float64]:
    """``(count,)`` comma-separated numbers.

    Raises:
        ValueError: saying what was expected and found.
    """
    try:
        values = np.array([float(part) for part in text.strip("[]()").split(",")])
    except ValueError:
        raise ValueError(f"{what}: expected {count} comma-separated numbers, found {text[:60]!r}") from None
    if len(values) != count:
        raise ValueError(f"{what}: expected {count} comma-separated numbers, found {len(values)}: {text[:60]!r}")
    if not np.isfinite(values).all():
        raise ValueError(f"{what}: expected finite numbers, found {text[:60]!r}")
    return values


def angle_order(path: Path, header: Sequence[str], columns: Columns, reading: Reading) -> tuple[str, str]:
    """The order of angles and who says so: the header where it speaks, then the option, then the data set's default.

    Raises:
        InputError: where header and option disagree.
    """
    word = header[columns.angles].lower() if columns.angles is not None and columns.angles < len(header) else ""
    if "pitch" in word and "yaw" in word:
        order = "pitch,yaw" if word.index("pitch") < word.index("yaw") else "yaw,pitch"
        if reading.order not in ("auto", order):
            raise InputError(f"{path}: the header says {header[columns.angles or 0]!r}, --order says {reading.order!r}")
        return order, "the header"
    if reading.order != "auto":
        return reading.order, "--order"
    return columns.order, "the data set's format"


def read_labels(path: Path, columns: Columns, reading: Reading) -> tuple[Rows, list[RowFault], str]:
    """All usable rows of a label file, those that are not with reasons, and what was decided about angles.

    Raises:
        InputError: where the file as a whole cannot be what it should be.
    """
    header, lines = read_lines(path)
    order, source = angle_order(path, header, columns, reading)
    rows, faults = Rows(order=order), []
    for number, words in lines:
        try:
            _add_row(rows, words, columns, reading, len(header))
            rows.lines.append(number)
        except ValueError as error:
            faults.append(RowFault(f"{path.name}:{number}", str(error)))
    if not rows.faces:
        raise InputError(f"{path}: none of {len(lines)} rows can be read; the first: {faults[0].reason}")
    if 0 < len(rows.gaze) < len(rows.faces):
        raise InputError(
            f"{path}: {len(rows.faces) - len(rows.gaze)} of {len(rows.faces)} rows have no gaze: expected all or none"
        )
    faults += _disagreeing(path, rows)
    if rows.scales:
        vectors = angles_to_vectors(np.array(rows.gaze))
        vectors[:, 2] /= np.array(rows.scales)
        rows.gaze = list(vectors_to_angles(vectors))
    return rows, faults, f"{order} (by {source})"


def _add_row(rows: Rows, words: list[str], columns: Columns, reading: Reading, width: int) -> None:
    """Parses one row; adds it whole or, where a ValueError is raised, not at all."""
    used = [c for c in (columns.face, columns.vector, columns.angles, columns.head) if c is not None]
    if len(words) <= max(used):
        raise ValueError(f"expected {width} columns as in the header, found {len(words)}")
    face = words[columns.face].replace("\\", "/")
    if not face.lower().endswith(SUFFIXES):
        raise ValueError(f"expected an image path in column {columns.face}, found {face[:60]!r}")
    if face.startswith("/") or ".." in face.split("/"):
        raise ValueError(f"expected an image path within the image folder, found {face[:60]!r}")
    turn = slice(None, None, -1 if rows.order == "yaw,pitch" else 1)
    gaze = vector = head = None
    missing = columns.gaze_is_optional and words[columns.angles or 0].lower() in MISSING
    if columns.angles is not None and not missing:
        gaze = in_range(numbers(words[columns.angles], 2, "gaze angles")[turn], "gaze angles")
    if columns.vector is not None:
        vector = columns.to_ours(numbers(words[columns.vector], 3, "gaze vector"), words)
        if not 0.5 < float(np.linalg.norm(vector)) < 2:
            raise ValueError(f"gaze vector: expected about unit length, found {words[columns.vector][:60]!r}")
    if columns.head is not None:
        head = in_range(numbers(words[columns.head], 2, "head angles")[turn], "head angles")
    person, session = columns.person(words), columns.session(words) if columns.session else ""
    scale = columns.depth_scale(words) if columns.depth_scale else None
    rows.faces.append(face)
    rows.people.append(person)
    rows.sessions.append(session)
    if gaze is not None:
        rows.gaze.append(flipped(gaze[None], reading.flip)[0])
    if vector is not None:
        rows.vectors.append(vector)
    if head is not None:
        rows.head.append(flipped(head[None], reading.flip)[0])
    if scale is not None:
        rows.scales.append(scale)


def in_range(angles: Floats, what: str) -> Floats:
    """The angles, ``(pitch, yaw)`` in radians.

    Raises:
        ValueError: where pitch is beyond a right angle or yaw beyond a half turn.
    """
    if abs(angles[0]) > np.pi / 2 + 1e-4 or abs(angles[1]) > np.pi + 1e-4:
        raise ValueError(
            f"{what}: expected radians, pitch within +-1.571 and yaw within +-3.142, found pitch {angles[0]:.3f}, yaw "
            f"{angles[1]:.3f}; are these degrees, or is the order another?"
        )
    return angles


def _disagreeing(path: Path, rows: Rows) -> list[RowFault]:
    """Rows whose vector and angles differ, removed from ``rows``; vectors stand where there are no angles.

    Raises:
        InputError: where most rows differ, with the convention that they would fit.
    """
    if not rows.vectors:
        return []
    vectors = np.array(rows.vectors)
    if not rows.gaze:
        rows.gaze = list(vectors_to_angles(vectors))
        return []
    angles = np.array(rows.gaze)
    errors = angular_error(angles, vectors)
    wrong = np.flatnonzero(errors > AGREEMENT)
    if len(wrong) * 2 > len(errors):
        best, left = best_convention(angles, vectors)
        fit = (
            f"they would fit with {best} (to {left:.2f} degrees in the median)"
            if left < AGREEMENT
            else f"no convention makes them agree; the nearest is {best}, {left:.1f} degrees away in the median"
        )
        raise InputError(
            f"{path}: gaze vectors and gaze angles disagree in {len(wrong)} of {len(errors)} rows (first: line "
            f"{rows.lines[wrong[0]]}, {errors[wrong[0]]:.1f} degrees): angles were read as {rows.order}; {fit}. See "
            "--order and --flip"
        )
    faults = [
        RowFault(f"{path.name}:{rows.lines[i]}", f"gaze vector and gaze angles differ by {errors[i]:.2f} degrees")
        for i in wrong
    ]
    for name in ("faces", "people", "sessions", "gaze", "head", "vectors", "scales", "lines"):
        values = getattr(rows, name)
        if values:
            setattr(rows, name, [value for index, value in enumerate(values) if errors[index] <= AGREEMENT])
    return faults


def open_labels(
    folder: Path,
    parts: Mapping[str, Path],
    columns: Columns | Mapping[str, Columns],
    reading: Reading,
    *,
    dataset: str,
    frame: str,
    group: str = "person",
) -> GazeFolder:
    """A data set of label files, one or several a part.

    Args:
        folder: which holds ``Image/`` (or the images themselves); see :func:`find_images`.
        parts: label files by the name of the part.
        columns: what they hold; one for all, or by part.
        reading: options.
        dataset, frame, group: of the result.

    Raises:
        InputError: where a file cannot be read as a whole.
    """
    splits: dict[str, GazeSplit] = {}
    faults: list[RowFault] = []
    orders: dict[str, str] = {}
    found: dict[str, str] = {}
    size = reading.size
    for name, path in parts.items():
        own = columns if isinstance(columns, Columns) else columns[name]
        rows, wrong, orders[name] = read_labels(path, own, reading)
        faults += wrong
        root, inside = find_images(folder, name, rows.faces)
        found[name] = (root / inside).relative_to(folder).as_posix()
        rows.faces = [f"{inside}{face}" for face in rows.faces]
        size = size or picture_side(root, rows.faces)
        splits[name] = make_split(name, rows, PictureFiles(root, rows.faces, size))
    choices, images = {"order": _said(orders)}, _said(found)
    if images != IMAGE_FOLDERS[0]:
        choices["images"] = images
    if reading.flip:
        choices["flip"] = reading.flip
    notes = [f"{dataset}: angles read as {choices['order']}, frame {frame}, images in {images}"]
    if faults:
        notes.append(f"{len(faults)} rows left out, the first: {faults[0].where}: {faults[0].reason}")
    if group == "recording":
        notes.append(f"{dataset} names recordings, not people: everything by recording")
    return GazeFolder(folder, size, frame, splits, notes, dataset, group, choices, faults)


def _said(by_part: Mapping[str, str]) -> str:
    """What holds for all parts, or for each."""
    said = sorted(set(by_part.values()))
    return said[0] if len(said) == 1 else ", ".join(f"{part}: {text}" for part, text in by_part.items())


def make_split(name: str, rows: Rows, images: PictureFiles) -> GazeSplit:
    """Rows as a split; labels only where every row has them."""
    people, person = np.unique(np.array(rows.people), return_inverse=True)
    sessions, session = np.unique(np.array(rows.sessions), return_inverse=True)
    known = any(rows.sessions)

    def whole(values: list[Any]) -> NDArray[np.float32] | None:
        return np.array(values, np.float32) if values and len(values) == len(rows.faces) else None

    return GazeSplit(
        name=name,
        people=people.tolist(),
        person=person.astype(np.int64),
        gaze=whole(rows.gaze),
        head_pose=whole(rows.head),
        size=images.size,
        images=images,
        sessions=sessions.tolist() if known else [],
        session=session.astype(np.int64) if known else None,
    )


def label_files(folder: Path, names: Sequence[str], pattern: str) -> list[Path]:
    """Label files of a data set in the first of its folders that has some, or beside them, in order of their names.

    Raises:
        InputError: where there are none.
    """
    for name in [*names, "."]:
        found = sorted((folder / name).glob(pattern))
        if found:
            return found
    looked = " or ".join([*(f"{name}/{pattern}" for name in names), pattern])
    raise InputError(f"{folder}: expected label files {looked}, found none")
