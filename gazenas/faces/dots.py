"""Dots on a screen that somebody looked at, beside the gazes that were predicted meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gazenas.data.normalization.cameras import assume_camera
from gazenas.data.normalization.geometry import Target, view_face
from gazenas.data.normalization.pose import rotation_matrix
from gazenas.errors import InputError
from gazenas.faces.records import OK
from gazenas.faces.screen import Look
from gazenas.files import read_csv

NEEDED = ("pitch", "yaw", "origin_x", "origin_y", "origin_z", "head_rotation_x", "head_rotation_y", "head_rotation_z")


def read_looks(predictions: Path, dots: Path) -> list[Look]:
    """Gazes with their dots.

    Args:
        predictions: folder that ``gazenas predict`` wrote; of several faces in a frame the largest counts.
        dots: CSV file with ``source``, ``frame`` or both, and ``x`` and ``y`` in pixels of the screen.

    Raises:
        InputError: where a file is absent or damaged, or no gaze has a dot.
    """
    wanted = _rows(dots)
    titles = [title for title in ("source", "frame") if title in wanted[0]]
    if not titles or not {"x", "y"} <= set(wanted[0]):
        found = ", ".join(list(wanted[0])[:6])
        raise InputError(f"{dots}: expected the columns source or frame, x and y, found {found}")
    by_place: dict[tuple[str, ...], tuple[float, float]] = {}
    for line, row in enumerate(wanted, 2):
        by_place[_place(row, titles)] = (_number(row, "x", f"{dots}:{line}"), _number(row, "y", f"{dots}:{line}"))
    file = predictions / "predictions.csv" if predictions.is_dir() else predictions
    largest: dict[tuple[str, ...], tuple[float, Look]] = {}
    for line, row in enumerate(_rows(file), 2):
        place = _place(row, titles)
        if row.get("status") != OK or place not in by_place:
            continue
        where = f"{file}:{line}"
        size = _number(row, "box_width", where) * _number(row, "box_height", where)
        key = (row.get("source", ""), row.get("frame", ""))
        if key not in largest or size > largest[key][0]:
            largest[key] = (size, _look(row, by_place[place], where))
    if not largest:
        raise InputError(f"{dots}: expected dots of frames of {file}, found none that has a gaze")
    return [look for _, look in largest.values()]


def _look(row: Mapping[str, str], dot: tuple[float, float], where: str) -> Look:
    values = np.array([_number(row, name, where) for name in NEEDED])
    view = view_face(assume_camera(2, 2), rotation_matrix(values[5:]), values[2:5], Target())
    return Look(values[2:5], view.rotation, values[:2], np.array(dot))


def _place(row: Mapping[str, str], titles: Sequence[str]) -> tuple[str, ...]:
    """What names a frame: its file's name alone, wherever that lay."""
    return tuple(Path(row.get(title, "")).name if title == "source" else row.get(title, "").strip() for title in titles)


def _rows(path: Path) -> list[dict[str, str]]:
    rows = read_csv(path)
    if not rows:
        raise InputError(f"{path}: expected rows, found none")
    return rows


def _number(row: Mapping[str, str], name: str, where: str) -> float:
    try:
        value = float(row.get(name, ""))
    except (TypeError, ValueError):
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"{where}: {name}: expected a number, found {row.get(name, '')!r}")
    return value
