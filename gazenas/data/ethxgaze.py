"""ETH-XGaze's preprocessed HDF5 layout (Zhang et al., ECCV 2020), as published and as ``gazenas synth`` writes it.

A folder holds ``train/``, ``test/`` and ``train_test_split.json`` with lists of file names, one file a person.
Images are uint8 BGR and come out as RGB. Labels are (pitch, yaw) in radians in the normalised frame ``R``
(rotated, not scaled), which is this package's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gazenas.architecture import InputError
from gazenas.data.split import GazeFolder, GazeSplit

SPLIT_FILE = "train_test_split.json"
VALIDATION_SHARE = 0.1


class XGazeFiles:
    """Reads images of some files by row; opens each file once a process."""

    def __init__(self, paths: list[Path], counts: list[int], size: int) -> None:
        self.paths = paths
        self.starts = np.concatenate([[0], np.cumsum(counts)])
        self.size = size
        self._open: dict[int, h5py.File] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(n, S, S, 3)`` RGB images at ``rows`` of the split.

        Raises:
            InputError: naming the file and rows that cannot be decoded.
        """
        images = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        numbers = np.searchsorted(self.starts, rows, side="right") - 1
        for number in np.unique(numbers):
            places = np.flatnonzero(numbers == number)
            within = rows[places] - self.starts[number]
            order = np.argsort(within)
            try:
                if number not in self._open:
                    self._open[int(number)] = h5py.File(self.paths[number], "r")
                patches = self._open[int(number)]["face_patch"]
                # A run of neighbouring rows is one read; h5py's own lists of rows are far slower.
                for run in np.split(order, np.flatnonzero(np.diff(within[order]) != 1) + 1):
                    images[places[run]] = patches[within[run[0]] : within[run[-1]] + 1][..., ::-1]
            except OSError as error:
                raise InputError(
                    f"{self.paths[number]}: face_patch cannot be read between rows {within.min()} and {within.max()}: {error}; "
                    "is the file truncated? Copy or make it anew"
                ) from error
        return images

    def name(self, row: int) -> str:
        """File and row within it, for messages and pictures."""
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return f"{self.paths[number].name}:{row - self.starts[number]}"


def open_ethxgaze(folder: Path, *, seed: int = 0) -> GazeFolder:
    """Opens and checks a folder: keys, shapes, types and angles of every file; images are read later.

    Where the split file lists no ``val``, a tenth of the people of ``train`` (at least one) is drawn by ``seed``.

    Raises:
        InputError: where something is missing or wrong; the first faults at once, with their files.
    """
    split, notes = _read_split(folder, seed)
    splits, faults, sizes = {}, [], set()
    for name, files in split.items():
        place = folder / ("test" if name == "test" else "train")
        parts = []
        for file in files:
            try:
                parts.append(_read_labels(place / file, needs_gaze=name != "test"))
                sizes.add(parts[-1]["size"])
            except InputError as error:
                faults.append(str(error))
        if not faults:
            splits[name] = _join(name, [place / file for file in files], parts, notes)
    if faults:
        more = f" (and {len(faults) - 5} more files)" if len(faults) > 5 else ""
        raise InputError("\n".join(faults[:5]) + more)
    if len(sizes) > 1:
        raise InputError(f"{folder}: expected images of one size, found sides {sorted(sizes)}")
    return GazeFolder(folder=folder, size=sizes.pop(), frame="R", splits=splits, notes=notes)


def _read_split(folder: Path, seed: int) -> tuple[dict[str, list[str]], list[str]]:
    """File names by split, people proven to be on one side only, and notes on what was decided here."""
    path = folder / SPLIT_FILE
    if not folder.is_dir():
        raise InputError(f"{folder}: no such data folder; 'gazenas synth {folder}' makes one")
    if not path.is_file():
        raise InputError(f"{folder}: expected {SPLIT_FILE} beside train/ and test/ (ETH-XGaze's layout), found none")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: expected JSON: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected lists under train and test, found {type(values).__name__}")
    notes = []
    split = {}
    for name in ("train", "val", "test"):
        names = values.get(name, [])
        if not isinstance(names, list) or not all(isinstance(entry, str) for entry in names):
            raise InputError(f"{path}: {name}: expected a list of file names, found {names!r}")
        if len(set(names)) != len(names):
            raise InputError(f"{path}: {name}: lists {max(names, key=names.count)!r} more than once")
        if any(Path(entry).name != entry for entry in names):
            raise InputError(
                f"{path}: {name}: expected bare file names, found {next(e for e in names if Path(e).name != e)!r}"
            )
        split[name] = list(names)
    if not split["train"]:
        raise InputError(f"{path}: train: expected at least one file, found none")
    if not split["val"]:
        people = sorted(split["train"])
        count = max(1, round(VALIDATION_SHARE * len(people)))
        if len(people) < 2:
            raise InputError(
                f"{path}: no val list, and train has {len(people)} person: expected at least 2 to draw one from"
            )
        drawn = np.random.default_rng(seed).choice(len(people), count, replace=False)
        split["val"] = [people[index] for index in sorted(drawn)]
        split["train"] = [name for name in split["train"] if name not in split["val"]]
        notes.append(
            f"no val list in {SPLIT_FILE}: drew {count} of {len(people)} people by seed {seed}: {', '.join(split['val'])}"
        )
    prove_disjoint({name: [Path(entry).stem for entry in names] for name, names in split.items()}, str(path))
    if not split["test"]:
        notes.append("no test list: nothing will be tested")
        del split["test"]
    return split, notes


def prove_disjoint(people: dict[str, list[str]], where: str) -> None:
    """Proves that no person is in two splits.

    Raises:
        InputError: naming the person and the splits.
    """
    names = list(people)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            both = sorted(set(people[first]) & set(people[second]))
            if both:
                raise InputError(
                    f"{where}: person {both[0]!r} is in both {first} and {second} ({len(both)} such); splits must be by person"
                )


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise InputError(f"{path}: listed in {SPLIT_FILE} but absent")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        raise InputError(
            f"{path}: expected a readable HDF5 file: {error}; is it truncated? Copy or make it anew"
        ) from error


def _read_labels(path: Path, *, needs_gaze: bool) -> dict[str, Any]:
    """Size, number of rows and labels of one file, checked."""
    with _opened(path) as file:
        if "face_patch" not in file:
            raise InputError(f"{path}: lacks the key face_patch (has: {', '.join(file) or 'none'})")
        patches = file["face_patch"]
        shape: tuple[int, ...] = getattr(patches, "shape", ())
        if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or shape[0] < 1:
            raise InputError(f"{path}: face_patch: expected shape (N, S, S, 3) with N > 0, found {shape}")
        if patches.dtype != np.uint8:
            raise InputError(f"{path}: face_patch: expected uint8, found {patches.dtype}")
        if needs_gaze and "face_gaze" not in file:
            raise InputError(f"{path}: lacks the key face_gaze, which training needs (has: {', '.join(file)})")
        labels = {
            key: _read_angles(file, key, shape[0], path) for key in ("face_gaze", "face_head_pose") if key in file
        }
        return {"size": shape[1], "count": shape[0]} | labels


def _read_angles(file: h5py.File, key: str, count: int, path: Path) -> NDArray[np.float32]:
    stored = file[key]
    if getattr(stored, "shape", ()) != (count, 2) or stored.dtype.kind != "f":
        found = f"{stored.dtype} {stored.shape}" if isinstance(stored, h5py.Dataset) else "a group"
        raise InputError(f"{path}: {key}: expected floats of shape ({count}, 2), found {found}")
    angles: NDArray[np.float32] = stored[()].astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(angles).all(1))
    if wrong.size:
        raise InputError(
            f"{path}: {key}: {wrong.size} rows are not finite, the first is row {wrong[0]}: {angles[wrong[0]].tolist()}"
        )
    beyond = np.flatnonzero((np.abs(angles) > np.pi + 1e-4).any(1))
    if beyond.size:
        values = angles[beyond[0]].tolist()
        raise InputError(
            f"{path}: {key}: expected radians within +-pi, found {values} in row {beyond[0]}; are these degrees?"
        )
    return angles


def _join(name: str, paths: list[Path], parts: list[dict[str, Any]], notes: list[str]) -> GazeSplit:
    counts = [part["count"] for part in parts]
    labels: dict[str, NDArray[np.float32] | None] = {}
    for key in ("face_gaze", "face_head_pose"):
        have = [key in part for part in parts]
        labels[key] = np.concatenate([part[key] for part in parts]) if all(have) else None
        if any(have) and not all(have):
            notes.append(f"{name}: {sum(have)} of {len(have)} files have {key}: it is used for none of them")
    if labels["face_gaze"] is None:
        notes.append(f"{name}: no face_gaze: errors cannot be measured, predictions are written instead")
    return GazeSplit(
        name=name,
        people=[path.stem for path in paths],
        person=np.repeat(np.arange(len(paths)), counts),
        gaze=labels["face_gaze"],
        head_pose=labels["face_head_pose"],
        size=parts[0]["size"],
        images=XGazeFiles(paths, counts, parts[0]["size"]),
    )
