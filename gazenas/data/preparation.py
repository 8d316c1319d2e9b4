"""Turns any data set into ETH-XGaze's HDF5 layout, a person at a time, so that it can be gone on with.

A file is written whole beside its target and renamed. ``train_test_split.json``, without which the folder is none,
comes last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gazenas.data import hdf5_layout as layout
from gazenas.data.dataset import GazeFolder, GazeSplit, RowFault
from gazenas.data.people import data_fingerprint
from gazenas.errors import InputError
from gazenas.files import read_json, safe_name, write_csv, write_json

FILE_BYTES = 256 << 20  # images of one file at most: they are put together in memory
UNREADABLE = "unreadable.csv"
LISTS = {"val": "val", "valid": "val", "test": "test", "test_person_specific": "test_person_specific"}  # else train


@dataclass(frozen=True)
class OutputFile:
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
        InputError: where ``out`` holds something else, or rows cannot be read and are not to be left out: they are
            listed in ``unreadable.csv`` with reasons, everything else is kept, and the folder is not finished.
    """
    metadata = _metadata(source)
    _claim_folder(out, metadata)
    outputs = _output_files(source, out)
    faults = list(source.faults)
    for output in outputs:
        faults += _write(output, leave_out)
        on_rows(len(output.rows))
    _list_faults(out / UNREADABLE, faults)
    if faults and not leave_out:
        raise InputError(
            f"{len(faults)} rows cannot be read, listed with reasons in {out / UNREADABLE} (first: {faults[0].where}: "
            f"{faults[0].reason}); mend them and run the same command again, which keeps what is done, or give "
            "--leave-out"
        )
    written = [output for output in outputs if output.path.exists()]
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    parts: dict[str, list[str]] = {}
    for output in written:
        lists.setdefault(LISTS.get(output.part, "train"), []).append(output.path.name)
        parts.setdefault(output.part, []).append(output.path.name)
    if not lists["val"]:
        del lists["val"]  # drawn by whoever reads
    people = {output.path.name: output.person for output in written}
    # A copy keeps the fingerprint of what it was made of: its people are the same ones.
    fingerprint = source.fingerprint or data_fingerprint(source.splits)
    write_json(out / layout.METADATA_FILE, {**metadata, "people": people, "parts": parts, "fingerprint": fingerprint})
    write_json(out / layout.SPLIT_FILE, lists)
    return lists


def _metadata(source: GazeFolder) -> dict[str, Any]:
    return {
        "dataset": source.dataset,
        "frame": source.frame,
        "group": source.group,
        "choices": source.choices,
        "size": source.size,
        "source": str(source.folder.resolve()),
    }


def _claim_folder(out: Path, metadata: dict[str, Any]) -> None:
    """Makes the folder, or checks that it holds the same preparation unfinished."""
    if (out / layout.SPLIT_FILE).exists():
        raise InputError(f"--out: {out} already holds a data folder; choose another, or remove it")
    path = out / "preparing.json"
    found = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []
    if found and not path.exists():
        raise InputError(f"--out: {out} is not empty (holds {', '.join(found[:3])}): choose another folder")
    if path.exists():
        earlier = read_json(path)
        earlier["choices"] = layout.current_choices(earlier.get("choices", {}))
        changed = [key for key in metadata if earlier.get(key) != metadata[key]]
        if changed:
            said = "; ".join(f"{key} was {earlier.get(key)!r}, is {metadata[key]!r}" for key in changed)
            raise InputError(f"--out: {out} was begun otherwise: {said}; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    for unfinished in out.rglob(".*.part"):
        unfinished.unlink()
    write_json(path, metadata)


def _output_files(source: GazeFolder, out: Path) -> list[OutputFile]:
    """Files in order: by part, by person, at most ``FILE_BYTES`` of images each."""
    outputs, taken = [], set()
    most = max(1, FILE_BYTES // (3 * source.size**2))
    for part, split in source.splits.items():
        if not len(split):
            continue
        kind = LISTS.get(part, "train")
        subfolder = layout.part_folder(out, kind)
        for number, person in enumerate(split.people):
            rows = np.flatnonzero(split.person == number)
            word = safe_name(person)
            for piece, begin in enumerate(range(0, len(rows), most)):
                stem = word if len(rows) <= most else f"{word}_{piece:03d}"
                stem = stem if stem not in taken else f"{part}_{stem}"
                while stem in taken:
                    stem += "_"
                taken.add(stem)
                outputs.append(OutputFile(subfolder / f"{stem}.h5", split, rows[begin : begin + most], person, part))
    return outputs


def _write(output: OutputFile, leave_out: bool) -> list[RowFault]:
    """Writes one file unless it is there; rows whose images cannot be read, for whose sake it is not written."""
    if output.path.exists() and _rows_of(output.path) == len(output.rows):
        return []
    size = output.split.size
    images = np.empty((len(output.rows), size, size, 3), np.uint8)
    good: list[int] = []
    faults: list[RowFault] = []
    for row in output.rows:
        try:
            images[len(good)] = output.split.images(np.array([row]))[0]
            good.append(row)
        except InputError as error:
            faults.append(RowFault(output.split.images.name(int(row)), str(error)))
    if (faults and not leave_out) or not good:
        return faults
    rows, split = np.array(good), output.split
    columns = {
        layout.GAZE: split.gaze,
        layout.HEAD_POSE: split.head_pose,
        **split.columns,
        layout.SESSION: split.session,
    }
    known = {key: values[rows] for key, values in columns.items() if values is not None}
    known[layout.SOURCE] = np.array([split.images.name(int(row)).encode() for row in rows])
    output.path.parent.mkdir(exist_ok=True)
    layout.write_person(output.path, images[: len(rows)], known, session_names=split.sessions)
    return faults


def _rows_of(path: Path) -> int:
    with h5py.File(path, "r") as file:
        return int(file[layout.PATCHES].shape[0])


def _list_faults(path: Path, faults: list[RowFault]) -> None:
    """Writes the list, or removes an earlier one where nothing is wrong any more."""
    if not faults:
        path.unlink(missing_ok=True)
        return
    write_csv(path, ["where", "reason"], ([fault.where, fault.reason] for fault in faults))
