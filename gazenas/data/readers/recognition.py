"""Which data set lies in a folder, by the files that only it has."""

from __future__ import annotations

from pathlib import Path

from gazenas.data.readers.labels import read_lines
from gazenas.errors import InputError

SIGNS = (
    ("train_test_split.json", "ethxgaze"),
    ("photos.json", "photos"),
    ("metadata.mat", "gaze360-mat"),
    ("p[0-9][0-9].mat", "mpiifacegaze-mat"),
    ("Label/p[0-9][0-9].label", "mpiifacegaze"),
    ("ClusterLabel/*.label", "eyediap"),
    ("Label/train1.label", "rtgene"),
    ("Label/train*.label", ""),
    ("Label/test*.label", ""),
    ("*.csv", "table"),
)


def recognize(folder: Path) -> str:
    """The key of ``DATASETS`` that fits a folder or a CSV file.

    Raises:
        InputError: where there is no such folder, or nothing in it is known.
    """
    if folder.suffix.lower() == ".csv" and folder.is_file():
        return "table"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such data folder; 'gazenas synth {folder}' makes one")
    for pattern, name in SIGNS:
        found = sorted(folder.glob(pattern))
        if found and name:
            return name
        if found:
            words = {word.lower() for word in read_lines(found[0])[0]}
            return "ethxgaze-text" if words & {"normmat", "cam_index", "frame_index"} else "gaze360"
    looked = ", ".join(pattern for pattern, _ in SIGNS)
    raise InputError(
        f"{folder}: expected train_test_split.json or another known layout, found none of {looked}; see docs/data.md or give --format"
    )
