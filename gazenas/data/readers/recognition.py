"""Which data set lies in a folder, by the files that only it has."""

from __future__ import annotations

from pathlib import Path

from gazenas.data.readers.labels import read_lines
from gazenas.errors import InputError
from gazenas.files import nearest_file

SIGNS = (
    ("train_test_split.json", "ethxgaze"),
    ("photos.json", "photos"),
    ("collected.json", "collected"),
    ("metadata.mat", "gaze360-mat"),
    ("p[0-9][0-9].mat", "mpiifacegaze-mat"),
    *((f"{name}/*.mat", "300w-lp") for name in ("AFW", "HELEN", "IBUG", "LFPW")),
    ("image[0-9]*.mat", "aflw2000"),
    ("[0-9][0-9][0-9][0-9][0-9]/appleFace.json", "gazecapture"),
    ("ClusterLabel/*.label", "eyediap"),
    *((f"{folder}train1.label", "rtgene") for folder in ("Label/", "")),
    *((f"{folder}{stem}*.label", "") for folder in ("Label/", "") for stem in ("p[0-9]", "train", "test")),
    ("*.csv", "table"),
)
# Words of a label file's header that only one data set has, in the order in which they decide.
WORDS = (
    ({"normmat", "cam_index", "frame_index"}, "ethxgaze-text"),
    ({"metapath", "gazeorigin"}, "eyediap"),
    ({"whicheye", "smat"}, "mpiifacegaze"),
)


def _by_header(path: Path) -> str:
    """Whose label file it is, by its header; one a person is MPIIFaceGaze's and one a split Gaze360's where that says
    nothing."""
    words = {word.lower() for word in read_lines(path)[0]}
    usual = "mpiifacegaze" if path.stem.startswith("p") else "gaze360"
    return next((name for own, name in WORDS if words & own), usual)


def recognize(folder: Path) -> str:
    """The key of ``DATASETS`` that fits a folder or a CSV file.

    Raises:
        InputError: where there is no such folder, or nothing in it is known.
    """
    if folder.suffix.lower() == ".csv" and folder.is_file():
        return "table"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such data folder{nearest_file(folder)}; 'gazenas synth {folder}' makes one")
    for pattern, name in SIGNS:
        found = sorted(folder.glob(pattern))
        if found and name:
            return name
        if found:
            return _by_header(found[0])
    looked = ", ".join(pattern for pattern, _ in SIGNS)
    raise InputError(
        f"{folder}: expected train_test_split.json or another known layout, found none of {looked}; see docs/data.md "
        "or give --format"
    )
