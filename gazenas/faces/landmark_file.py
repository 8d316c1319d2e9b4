"""Faces that somebody else found, out of a CSV file: a row a face.

Columns: ``source`` (the image's path as it is given, or its name), ``frame`` (a number), or both; ``face`` (a number)
at will; then ``x0``, ``y0``, ``x1``, ``y1`` and so on in pixels, as many as a face model has landmarks, which need no
finder here; or ``box_x``, ``box_y``, ``box_width``, ``box_height`` in pixels, in which a finder looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gazenas.errors import InputError
from gazenas.faces.face import NEW, Face, box_around
from gazenas.faces.face_models import MESH, FaceModel, model_for
from gazenas.faces.frame import Frame, Pixels
from gazenas.files import read_csv

Key = tuple[str, str]  # source and frame, empty where the file has no such column
BOX = ("box_x", "box_y", "box_width", "box_height")


class KnownFaces:
    """Faces by frame; as a finder it finds none of its own.

    Attributes:
        boxes: whether the file has boxes alone.
        face_model: of its landmarks; of boxes, one of which no landmark is known.

    Args:
        path: of the CSV file.

    Raises:
        InputError: where it is absent or holds something else.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise InputError(f"--landmarks: no such file: {path}")
        rows = read_csv(path)
        titles = set(rows[0]) if rows else set()
        if not titles & {"source", "frame"}:
            found = ", ".join(sorted(titles)[:6]) or "nothing"
            raise InputError(f"{path}: expected a header with source or frame, then x0, y0, x1, ..., found {found}")
        count = sum(f"x{number}" in titles and f"y{number}" in titles for number in range(len(titles)))
        self.boxes = not count and titles.issuperset(BOX)
        if not count and not self.boxes:
            raise InputError(
                f"{path}: expected landmarks (x0, y0, x1, ...) or boxes ({', '.join(BOX)}), found "
                f"{', '.join(sorted(titles - {'source', 'frame', 'face'})[:6]) or 'neither'}"
            )
        self.face_model: FaceModel = MESH if self.boxes else model_for(count)
        self._by_name, self._by_frame = "source" in titles, "frame" in titles
        self._faces: dict[Key, list[Face]] = {}
        for line, row in enumerate(rows, 2):
            key = (row.get("source", ""), row.get("frame", "").strip())
            if self.boxes and not any(row.get(title) for title in BOX):
                continue  # a frame without a face, as `gazenas predict` writes it
            self._faces.setdefault(key, []).append(_face(row, count, f"{path}:{line}"))

    def __call__(self, image: Pixels, before: Sequence[Face]) -> list[Face]:
        """None."""
        return []

    def placed(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The frames with their faces."""
        for frame in frames:
            number = str(frame.number) if self._by_frame else ""
            names = [frame.source, Path(frame.source).name] if self._by_name else [""]
            found = next((self._faces[name, number] for name in names if (name, number) in self._faces), [])
            yield replace(frame, faces=found)


def _face(row: Mapping[str, str], count: int, where: str) -> Face:
    try:
        landmarks = np.array([[float(row[f"{axis}{number}"]) for axis in "xy"] for number in range(count)])
        box = box_around(landmarks) if count else np.array([float(row[title]) for title in BOX])
        number = int(row["face"]) if row.get("face") else NEW
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: expected numbers: {error}") from error
    if not (np.isfinite(landmarks).all() and np.isfinite(box).all()) or number < NEW:
        raise InputError(f"{where}: expected finite positions and a face number from 0, found others")
    if not count and box[2:].min() <= 0:
        raise InputError(f"{where}: expected a box with width and height above 0, found {box[2]:g} x {box[3]:g}")
    return Face(box, 1.0, landmarks.reshape(-1, 2), id=number)
