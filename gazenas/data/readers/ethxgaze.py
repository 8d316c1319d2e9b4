"""ETH-XGaze's preprocessed HDF5 layout (Zhang et al., ECCV 2020), as published and as ``gazenas synth`` writes it.

A folder holds ``train/``, ``test/`` and ``train_test_split.json`` with lists of file names, one file a person.
Images are uint8 BGR and come out as RGB. Labels are (pitch, yaw) in radians in the normalized frame ``R``
(rotated, not scaled), which is this package's own. ``test_person_specific/`` (or ``test_specific/``) is a part of its
own.

``gazenas data prepare`` writes other data sets in this layout, with ``dataset.json``: whose data it is, its frame, who
is in which file, and the data set's own parts.
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

from gazenas.data import hdf5_layout as layout
from gazenas.data.dataset import GazeFolder, GazeSplit, Images, plural, prove_disjoint
from gazenas.data.pictures import ResizedImages
from gazenas.data.readers.convention import flipped
from gazenas.data.readers.reading import DEFAULTS, FRAMES, Reading
from gazenas.errors import InputError
from gazenas.files import nearest_file, read_json
from gazenas.tasks import TASKS
from gazenas.tasks.inputs import INPUT_KEYS

VALIDATION_SHARE = 0.1
# What is known besides gaze and the direction of the face, and what of it is pixels of the stored image.
OTHER_LABELS = sorted(
    ({key for task in TASKS.values() for key in task.keys} | INPUT_KEYS) - {layout.GAZE, layout.HEAD_POSE}
)
PIXELS = {key for task in TASKS.values() if task.unit == "px" for key in task.keys}


class XGazeFiles:
    """Reads images of some files by row; opens each file once a process."""

    def __init__(self, paths: list[Path], counts: list[int], size: int, bgr: bool = True) -> None:
        self.paths, self.size, self.bgr = paths, size, bgr
        self.starts = np.concatenate([[0], np.cumsum(counts)])
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
            positions = np.flatnonzero(numbers == number)
            within = rows[positions] - self.starts[number]
            order = np.argsort(within)
            try:
                patches = self._file(int(number))[layout.PATCHES]
                # A run of neighboring rows is one read; h5py's own lists of rows are far slower.
                for run in np.split(order, np.flatnonzero(np.diff(within[order]) != 1) + 1):
                    images[positions[run]] = patches[within[run[0]] : within[run[-1]] + 1]
            except OSError as error:
                raise InputError(
                    f"{self.paths[number]}: face_patch cannot be read between rows {within.min()} and {within.max()}: "
                    f"{error}; is the file truncated? Copy or make it anew"
                ) from error
        return np.ascontiguousarray(images[..., ::-1]) if self.bgr else images

    def column(self, key: str) -> NDArray[np.float32] | None:
        """All rows of another column of the files, or None where one of them lacks it."""
        files = [self._file(number) for number in range(len(self.paths))]
        if not all(key in file and file[key].shape[:1] == file[layout.PATCHES].shape[:1] for file in files):
            return None
        return np.concatenate([file[key][()].astype(np.float32) for file in files])

    def _file(self, number: int) -> h5py.File:
        if number not in self._open:
            self._open[number] = h5py.File(self.paths[number], "r")
        return self._open[number]

    def name(self, row: int) -> str:
        """File and row within it, for messages and pictures."""
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return f"{self.paths[number].name}:{row - self.starts[number]}"


def open_ethxgaze(folder: Path, reading: Reading = DEFAULTS) -> GazeFolder:
    """Opens and checks a folder: keys, shapes, types and angles of every file; images are read later.

    Where the split file lists no ``val``, a tenth of the people of ``train`` (at least one) is drawn by the split seed.

    Raises:
        InputError: where something is missing or wrong; the first faults at once, with their files.
    """
    reading.refuse("ETH-XGaze's layout", "unit", "frame", "undetected")
    metadata = _read_metadata(folder)
    split, notes = _read_split(folder, reading.split_seed, metadata)
    splits, faults, sizes = {}, [], set()
    for name, files in split.items():
        subfolder = layout.part_folder(folder, name)
        parts = []
        for file in files:
            try:
                parts.append(_read_labels(subfolder / file, trains=name in ("train", "val"), reading=reading))
                sizes.add(parts[-1]["size"])
            except InputError as error:
                faults.append(str(error))
        if not faults:
            splits[name] = _join(name, [subfolder / file for file in files], parts, notes, metadata["people"], reading)
    if faults:
        more = f" (and {len(faults) - 5} more files)" if len(faults) > 5 else ""
        raise InputError("\n".join(faults[:5]) + more)
    if len(sizes) > 1:
        raise InputError(f"{folder}: expected images of one size, found sides {sorted(sizes)}")
    size = reading.size or sizes.pop()
    choices = {"order": reading.order, "flip": reading.flip, "colors": reading.colors} | metadata["choices"]
    kept = {key: value for key, value in choices.items() if value not in ("auto", "")}
    owners = metadata["people"]
    own = {name: sorted({owners.get(f, Path(f).stem) for f in files}) for name, files in metadata["parts"].items()}
    opened = GazeFolder(
        folder, size, metadata["frame"], splits, notes, metadata["dataset"], metadata["group"], kept, parts=own
    )
    opened.fingerprint = metadata["fingerprint"]
    return opened


def _read_metadata(folder: Path) -> dict[str, Any]:
    """What ``dataset.json`` says, or what holds for ETH-XGaze itself."""
    metadata: dict[str, Any] = {"dataset": "ethxgaze", "frame": "R", "group": "person"}
    metadata |= {"people": {}, "parts": {}, "choices": {}, "fingerprint": ""}
    path = folder / layout.METADATA_FILE
    if not path.is_file():
        return metadata
    values = read_json(path)
    for key, default in metadata.items():
        if not isinstance(values.get(key, default), type(default)):
            raise InputError(f"{path}: {key}: expected {type(default).__name__}, found {values[key]!r}")
    metadata |= {key: value for key, value in values.items() if key in metadata}
    metadata["choices"] = layout.current_choices(metadata["choices"])
    if metadata["frame"] not in FRAMES or metadata["group"] not in ("person", "recording"):
        raise InputError(
            f"{path}: expected frame {', '.join(FRAMES[1:])} and group person or recording, found "
            f"{metadata['frame']!r}, {metadata['group']!r}"
        )
    return metadata


def _read_split(folder: Path, seed: int, metadata: dict[str, Any]) -> tuple[dict[str, list[str]], list[str]]:
    """File names by split, people proven to be on one side only, and notes on what was decided here."""
    path = folder / layout.SPLIT_FILE
    if not folder.is_dir():
        raise InputError(f"{folder}: no such data folder{nearest_file(folder)}; 'gazenas synth {folder}' makes one")
    if not path.is_file():
        raise InputError(
            f"{folder}: expected {layout.SPLIT_FILE} beside train/ and test/ (ETH-XGaze's layout), found none"
        )
    values = read_json(path)
    notes = []
    split = {}
    for name in layout.PARTS:
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
    if not split["train"] and not split["test"]:
        raise InputError(f"{path}: train: expected at least one file, found none")
    if split["train"] and not split["val"]:
        owners = {name: metadata["people"].get(name, Path(name).stem) for name in split["train"]}
        people = sorted(set(owners.values()))
        count = max(1, round(VALIDATION_SHARE * len(people)))
        if len(people) < 2:
            raise InputError(
                f"{path}: no val list, and train has {len(people)} person: expected at least 2 to draw one from"
            )
        drawn = np.random.default_rng(seed).choice(len(people), count, replace=False)
        chosen = [people[index] for index in sorted(drawn)]
        split["val"] = [name for name in split["train"] if owners[name] in chosen]
        split["train"] = [name for name in split["train"] if owners[name] not in chosen]
        notes.append(
            f"no val list in {layout.SPLIT_FILE}: drew {count} of {len(people)} {plural(metadata['group'])} by split "
            f"seed {seed}: {', '.join(chosen)}"
        )
    owned = {
        name: [metadata["people"].get(entry, Path(entry).stem) for entry in names] for name, names in split.items()
    }
    prove_disjoint(owned, str(path), metadata["group"])
    if not split["test"]:
        notes.append("no test list: nothing will be tested")
    if metadata["group"] == "recording":
        notes.append(f"{metadata['dataset']} names recordings, not people: everything by recording")
    return {name: names for name, names in split.items() if names}, notes


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise InputError(f"{path}: listed in {layout.SPLIT_FILE} but absent")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        raise InputError(
            f"{path}: expected a readable HDF5 file: {error}; is it truncated? Copy or make it anew"
        ) from error


def _read_labels(path: Path, *, trains: bool, reading: Reading) -> dict[str, Any]:
    """Size, number of rows and labels of one file, checked."""
    with _opened(path) as file:
        if layout.PATCHES not in file:
            raise InputError(f"{path}: lacks the key face_patch (has: {', '.join(file) or 'none'})")
        patches = file[layout.PATCHES]
        shape: tuple[int, ...] = getattr(patches, "shape", ())
        if len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (1, 3) or shape[0] < 1:
            raise InputError(f"{path}: face_patch: expected shape (N, S, S, 3) with N > 0, found {shape}")
        if patches.dtype != np.uint8:
            raise InputError(f"{path}: face_patch: expected uint8, found {patches.dtype}")
        lacking = [key for key in reading.needs if key not in file] if trains else []
        if lacking:
            raise InputError(f"{path}: lacks the key {lacking[0]}, which training needs (has: {', '.join(file)})")
        labels = {
            key: _turned(_read_angles(file, key, shape[0], path), reading)
            for key in (layout.GAZE, layout.HEAD_POSE)
            if key in file
        } | {key: _read_numbers(file, key, shape[0], path) for key in OTHER_LABELS if key in file}
        labels = _eye_boxes(file, shape[0], shape[1]) | labels
        return (
            {"size": shape[1], "count": shape[0], "block": (patches.chunks or (1,))[0]}
            | labels
            | _read_sessions(file, shape[0], path)
        )


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


def _read_numbers(file: h5py.File, key: str, count: int, path: Path) -> NDArray[np.float32]:
    stored = file[key]
    shape: tuple[int, ...] = getattr(stored, "shape", ())
    if len(shape) != 2 or shape[0] != count or not shape[1] or stored.dtype.kind != "f":
        raise InputError(f"{path}: {key}: expected floats of shape ({count}, ...), found {shape or 'no such array'}")
    values: NDArray[np.float32] = stored[()].astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(values).all(1))
    if wrong.size:
        raise InputError(f"{path}: {key}: {wrong.size} rows are not finite, the first is row {wrong[0]}")
    return values


def _eye_boxes(file: h5py.File, count: int, side: int) -> dict[str, NDArray[np.float32]]:
    """A square around each eye, twice as wide as the eye, where the file has 68 landmarks in its patches."""
    stored = file.get(layout.LANDMARKS)
    if getattr(stored, "shape", ()) != (count, 68, 2) or stored.dtype.kind != "f":
        return {}
    eyes = stored[:, 36:48].astype(np.float32).reshape(count, 2, 6, 2) / side
    middle, half = eyes.mean(2), np.linalg.norm(eyes[:, :, 3] - eyes[:, :, 0], axis=2, keepdims=True)
    if not (np.isfinite(eyes).all() and middle.min() >= 0 and middle.max() <= 1):
        return {}  # landmarks of something else, such as the camera's picture
    boxes = np.concatenate([middle - half, middle + half], 2)
    return {layout.EYE_BOXES: np.ascontiguousarray(boxes.reshape(count, 8), np.float32)}


def _turned(angles: NDArray[np.float32], reading: Reading) -> NDArray[np.float32]:
    """Angles as the options say they were stored."""
    ordered = angles[:, ::-1] if reading.order == "yaw,pitch" else angles
    return flipped(ordered, reading.flip).astype(np.float32) if reading.flip else np.ascontiguousarray(ordered)


def _read_sessions(file: h5py.File, count: int, path: Path) -> dict[str, Any]:
    """Sessions of a prepared file: numbers by row, and their names in an attribute."""
    if layout.SESSION not in file:
        return {}
    numbers, names = file[layout.SESSION], json.loads(file[layout.SESSION].attrs.get(layout.SESSION_NAMES, "[]"))
    if numbers.shape != (count,) or numbers.dtype.kind not in "iu":
        raise InputError(
            f"{path}: session: expected integers of shape ({count},), found {numbers.dtype} {numbers.shape}"
        )
    values = numbers[()].astype(np.int64)
    if values.min() < 0 or values.max() >= len(names):
        raise InputError(
            f"{path}: session: expected numbers below {len(names)}, found {values.min()} to {values.max()}"
        )
    return {"sessions": [str(names[value]) for value in values]}


def _join(
    name: str,
    paths: list[Path],
    parts: list[dict[str, Any]],
    notes: list[str],
    owners: dict[str, str],
    reading: Reading,
) -> GazeSplit:
    counts = [part["count"] for part in parts]
    labels: dict[str, NDArray[np.float32] | None] = {}
    for key in (layout.GAZE, layout.HEAD_POSE, *OTHER_LABELS):
        have = [key in part for part in parts]
        labels[key] = np.concatenate([part[key] for part in parts]) if all(have) else None
        if any(have) and not all(have):
            notes.append(f"{name}: {sum(have)} of {len(have)} files have {key}: it is used for none of them")
    for key in [key for key in reading.needs if labels.get(key) is None]:
        notes.append(f"{name}: no {key}: errors cannot be measured, predictions are written instead")
    of_file = [owners.get(path.name, path.stem) for path in paths]
    people = sorted(set(of_file))
    stored: Images = XGazeFiles(paths, counts, parts[0]["size"], reading.colors != "RGB")
    resize = reading.size not in (0, parts[0]["size"])
    known = all("sessions" in part for part in parts)
    sessions, session = np.unique([s for part in parts for s in part.get("sessions", [])], return_inverse=True)
    return GazeSplit(
        name=name,
        people=people,
        person=np.repeat([people.index(owner) for owner in of_file], counts).astype(np.int64),
        gaze=labels[layout.GAZE],
        head_pose=labels[layout.HEAD_POSE],
        size=reading.size or parts[0]["size"],
        images=ResizedImages(stored, reading.size) if resize else stored,
        sessions=[str(entry) for entry in sessions] if known else [],
        session=session.astype(np.int64) if known else None,
        block=max(part["block"] for part in parts),
        columns={
            key: values * np.float32(reading.size / parts[0]["size"]) if resize and key in PIXELS else values
            for key, values in labels.items()
            if key in OTHER_LABELS and values is not None
        },
    )
