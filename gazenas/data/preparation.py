"""Turns any data set into ETH-XGaze's HDF5 layout, a person at a time, so that it can be gone on with.

A file is written whole beside its target and renamed. ``train_test_split.json``, without which the folder is none, comes last.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gazenas.data.dataset import GazeFolder, GazeSplit, RowFault
from gazenas.data.readers.ethxgaze import SPLIT_FILE, STORY_FILE
from gazenas.errors import InputError
from gazenas.files import read_json, write_aside, write_csv, write_json

FILE_BYTES = 256 << 20  # images of one file at most: they are put together in memory
UNREADABLE = "unreadable.csv"
LISTS = {"val": "val", "valid": "val", "test": "test", "test_person_specific": "test_person_specific"}  # else train


@dataclass(frozen=True)
class Chunk:
    """One file to write: rows of a part's person."""

    path: Path
    split: GazeSplit
    rows: NDArray[np.int64]
    person: str
    part: str


def prepare(
    source: GazeFolder,
    out: Path,
    *,
    leave_out: bool = False,
    on_rows: Callable[[int], None] = lambda count: None,
) -> dict[str, list[str]]:
    """Writes ``source`` as a folder in ETH-XGaze's layout.

    Args:
        source: an opened data set; its images come at its size.
        out: made where absent; a preparation that was interrupted is gone on with.
        leave_out: whether to finish without the rows that cannot be read.
        on_rows: called with the number of rows that are done.

    Returns:
        File names by list of ``train_test_split.json``.

    Raises:
        InputError: where ``out`` holds something else, or rows cannot be read and are not to be left out: they are listed
            in ``unreadable.csv`` with reasons, everything else is kept, and the folder is not finished.
    """
    story = _story(source)
    _take_place(out, story)
    tasks = _tasks(source, out)
    faults = list(source.faults)
    for task in tasks:
        faults += _write(task, leave_out)
        on_rows(len(task.rows))
    _list_faults(out / UNREADABLE, faults)
    if faults and not leave_out:
        raise InputError(
            f"{len(faults)} rows cannot be read, listed with reasons in {out / UNREADABLE} (first: {faults[0].where}: {faults[0].reason}); "
            "mend them and run the same command again, which keeps what is done, or give --leave-out"
        )
    written = [task for task in tasks if task.path.exists()]
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    parts: dict[str, list[str]] = {}
    for task in written:
        lists.setdefault(LISTS.get(task.part, "train"), []).append(task.path.name)
        parts.setdefault(task.part, []).append(task.path.name)
    if not lists["val"]:
        del lists["val"]  # drawn by whoever reads
    write_json(out / STORY_FILE, story | {"people": {t.path.name: t.person for t in written}, "parts": parts})
    write_json(out / SPLIT_FILE, lists)
    return lists


def _story(source: GazeFolder) -> dict[str, Any]:
    return {
        "dataset": source.dataset,
        "frame": source.frame,
        "group": source.group,
        "choices": source.choices,
        "size": source.size,
        "source": str(source.folder.resolve()),
    }


def _take_place(out: Path, story: dict[str, Any]) -> None:
    """Makes the folder, or finds that it holds the same preparation unfinished."""
    if (out / SPLIT_FILE).exists():
        raise InputError(f"--out: {out} already holds a data folder; choose another, or remove it")
    path = out / "preparing.json"
    found = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []
    if found and not path.exists():
        raise InputError(f"--out: {out} is not empty (holds {', '.join(found[:3])}): choose another folder")
    if path.exists():
        earlier = read_json(path)
        changed = [key for key in story if earlier.get(key) != story[key]]
        if changed:
            said = "; ".join(f"{key} was {earlier.get(key)!r}, is {story[key]!r}" for key in changed)
            raise InputError(f"--out: {out} was begun otherwise: {said}; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    for half in out.rglob(".*.part"):
        half.unlink()
    write_json(path, story)


def _tasks(source: GazeFolder, out: Path) -> list[Chunk]:
    """Files in order: by part, by person, at most ``FILE_BYTES`` of images each."""
    tasks, taken = [], set()
    most = max(1, FILE_BYTES // (3 * source.size**2))
    for part, split in source.splits.items():
        if not len(split):
            continue
        kind = LISTS.get(part, "train")
        subfolder = out / ("train" if kind in ("train", "val") else kind)
        for number, person in enumerate(split.people):
            rows = np.flatnonzero(split.person == number)
            word = re.sub(r"[^\w.-]+", "_", person) or "_"
            for piece, begin in enumerate(range(0, len(rows), most)):
                stem = word if len(rows) <= most else f"{word}_{piece:03d}"
                stem = stem if stem not in taken else f"{part}_{stem}"
                while stem in taken:
                    stem += "_"
                taken.add(stem)
                tasks.append(Chunk(subfolder / f"{stem}.h5", split, rows[begin : begin + most], person, part))
    return tasks


def _write(task: Chunk, leave_out: bool) -> list[RowFault]:
    """Writes one file unless it is there; rows whose images cannot be read, for whose sake it is not written."""
    if task.path.exists() and _rows_of(task.path) == len(task.rows):
        return []
    size = task.split.size
    images = np.empty((len(task.rows), size, size, 3), np.uint8)
    good: list[int] = []
    faults: list[RowFault] = []
    for row in task.rows:
        try:
            images[len(good)] = task.split.images(np.array([row]))[0]
            good.append(row)
        except InputError as error:
            faults.append(RowFault(task.split.images.name(int(row)), str(error)))
    if (faults and not leave_out) or not good:
        return faults
    rows, split = np.array(good), task.split
    buffer = io.BytesIO()  # HDF5 itself aborts the process where a disk fills up while it writes
    with h5py.File(buffer, "w") as file:
        file.create_dataset("face_patch", data=images[: len(rows), ..., ::-1], track_times=False)
        columns = {"face_gaze": split.gaze, "face_head_pose": split.head_pose} | split.columns
        for key, values in columns.items():
            if values is not None:
                file.create_dataset(key, data=values[rows], track_times=False)
        if split.session is not None:
            file.create_dataset("session", data=split.session[rows], track_times=False)
            file["session"].attrs["names"] = json.dumps(split.sessions)
        names = np.array([split.images.name(int(row)).encode() for row in rows])
        file.create_dataset("source", data=names, track_times=False)
    task.path.parent.mkdir(exist_ok=True)
    with write_aside(task.path) as aside:
        aside.write_bytes(buffer.getbuffer())
    return faults


def _rows_of(path: Path) -> int:
    with h5py.File(path, "r") as file:
        return int(file["face_patch"].shape[0])


def _list_faults(path: Path, faults: list[RowFault]) -> None:
    """Writes the list, or removes an earlier one where nothing is wrong any more."""
    if not faults:
        path.unlink(missing_ok=True)
        return
    write_csv(path, ["where", "reason"], ([fault.where, fault.reason] for fault in faults))
