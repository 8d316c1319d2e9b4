"""Webcam pictures of people who looked at dots, as ``gazenas collect`` leaves them; normalized while they are read,
frame ``R``.

``collected.json`` at the top has the data set's ``id`` and the six points of its face model. Each measurement has a
folder ``PERSON/SESSION`` with its pictures, ``session.json`` (who, with which camera), ``screen.json`` (where the
screen stands, as typed or as ``gazenas screen`` solved it) and ``dots.csv``, a row a picture: the dot in pixels of the
screen, the head's pose and six landmarks. Where a dot is before the camera is computed here, so that a better screen
gives better labels.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from gazenas.data.dataset import GazeFolder, RowFault
from gazenas.data.normalization.cameras import parse_camera
from gazenas.data.normalization.geometry import Screen, Target
from gazenas.data.normalization.screens import parse_screen
from gazenas.data.readers.photos import folder_of_photos
from gazenas.data.readers.reading import DEFAULTS, Reading
from gazenas.errors import InputError
from gazenas.files import read_csv, read_json

FILE, SESSION, SCREEN, DOTS = "collected.json", "session.json", "screen.json", "dots.csv"
ROTATION, TRANSLATION = ([f"head_{word}_{axis}" for axis in "xyz"] for word in ("rotation", "translation"))
LANDMARKS = [f"{axis}{number}" for number in range(6) for axis in "xy"]
COLUMNS = ["source", "x", "y", "x_mm", "y_mm", "time", *ROTATION, *TRANSLATION, *LANDMARKS]


def open_collected(folder: Path, reading: Reading = DEFAULTS, target: Target | None = None) -> GazeFolder:
    """One part, ``all``. A person is a person in all of their sessions.

    Args:
        folder: holds ``collected.json``.
        reading: its size is that of the patches, 0 for 224.
        target: the virtual camera; by default ETH-XGaze's at that size.

    Raises:
        InputError: where the description is damaged or no picture can be used.
    """
    path = folder / FILE
    about = read_json(path)
    model = about.get("face_model")
    if not re.fullmatch("[0-9a-f]{16}", str(about.get("id"))) or not isinstance(model, dict):
        raise InputError(f"{path}: expected an id of 16 hexadecimal digits and a face_model, found {str(about)[:80]}")
    cameras: dict[str, Any] = {}
    listed: list[tuple[str, Any]] = []
    faults: list[RowFault] = []
    for file in sorted(folder.glob(f"*/*/{SESSION}")):
        name = "/".join(file.parent.relative_to(folder).parts)
        try:
            cameras[name], rows = _session(file.parent, name)
        except (InputError, ValueError) as error:
            faults.append(RowFault(name, str(error)))
            continue
        for where, row in rows:
            listed.append((where, row)) if isinstance(row, dict) else faults.append(RowFault(where, row))
    if not listed:
        said = f"; the first of {len(faults)} faults: {faults[0].where}: {faults[0].reason}" if faults else ""
        raise InputError(f"{folder}: expected pictures of a person and session, found none{said}")
    values = {"cameras": cameras, "face_model": model.get("points")}
    opened = folder_of_photos(path, values, listed, reading, target, "collected")
    opened.faults += faults
    if faults:
        opened.notes.append(f"{len(faults)} left out, the first: {faults[0].where}: {faults[0].reason}")
    opened.fingerprint = about["id"]  # more pictures make no other people of them
    return opened


def _session(folder: Path, name: str) -> tuple[Any, list[tuple[str, Any]]]:
    """Its camera, and where each row stands with what ``photos.json`` would say of it, or with why it cannot be read.

    Raises:
        InputError, ValueError: where the session's files are absent or damaged.
    """
    about = read_json(folder / SESSION)
    parse_camera(about.get("camera"), f"{folder / SESSION}: camera")
    screen = parse_screen(read_json(folder / SCREEN))
    rows = read_csv(folder / DOTS)
    base = {"person": about.get("person"), "session": name, "camera": name}
    found: list[tuple[str, Any]] = []
    for line, row in enumerate(rows, 2):
        try:
            found.append((f"{name}/{DOTS}:{line}", base | _entry(row, name, screen)))
        except (KeyError, ValueError) as error:
            found.append((f"{name}/{DOTS}:{line}", f"expected the columns {', '.join(COLUMNS[:3])}, ...: {error}"))
    return about["camera"], found


def _entry(row: dict[str, str], name: str, screen: Screen) -> dict[str, Any]:
    """What a row says; a KeyError or ValueError where it cannot be read."""
    return {
        "image": f"{name}/{row['source']}",
        "head_rotation": [float(row[title]) for title in ROTATION],
        "head_translation": [float(row[title]) for title in TRANSLATION],
        "landmarks": np.reshape([float(row[title]) for title in LANDMARKS], (6, 2)).tolist(),
        "gaze_target": screen.target(np.array([float(row["x"]), float(row["y"])])).tolist(),
    }
