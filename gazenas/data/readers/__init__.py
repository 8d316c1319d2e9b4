"""Data sets: readers, one a file, and what trains and evaluates on them.

``DATASETS`` maps names to functions that open a folder; a new data set is one file and one line here.
"""

from collections.abc import Callable
from pathlib import Path

from gazenas.data.dataset import GazeFolder
from gazenas.data.people import data_fingerprint
from gazenas.data.readers.collected import open_collected
from gazenas.data.readers.ethxgaze import open_ethxgaze
from gazenas.data.readers.ethxgaze_text import open_ethxgaze_text
from gazenas.data.readers.eyediap import open_eyediap
from gazenas.data.readers.gaze360 import open_gaze360
from gazenas.data.readers.gaze360_mat import open_gaze360_mat
from gazenas.data.readers.gazecapture import open_gazecapture
from gazenas.data.readers.mpiifacegaze import open_mpiifacegaze
from gazenas.data.readers.mpiifacegaze_mat import open_mpiifacegaze_mat
from gazenas.data.readers.photos import open_photos
from gazenas.data.readers.pose_mat import open_300w_lp, open_aflw2000
from gazenas.data.readers.reading import DEFAULTS, Reading
from gazenas.data.readers.recognition import recognize
from gazenas.data.readers.rtgene import open_rtgene
from gazenas.data.readers.table import open_table
from gazenas.errors import InputError, did_you_mean

DATASETS: dict[str, Callable[[Path, Reading], GazeFolder]] = {
    "300w-lp": open_300w_lp,
    "aflw2000": open_aflw2000,
    "collected": open_collected,
    "ethxgaze": open_ethxgaze,
    "ethxgaze-text": open_ethxgaze_text,
    "eyediap": open_eyediap,
    "gaze360": open_gaze360,
    "gaze360-mat": open_gaze360_mat,
    "gazecapture": open_gazecapture,
    "mpiifacegaze": open_mpiifacegaze,
    "mpiifacegaze-mat": open_mpiifacegaze_mat,
    "photos": open_photos,
    "rtgene": open_rtgene,
    "table": open_table,
}


def open_data(folder: Path, reading: Reading = DEFAULTS, dataset: str = "auto") -> GazeFolder:
    """Opens a data folder in any layout.

    Args:
        folder: the folder; for a table, the CSV file will do.
        reading: options where files leave something open.
        dataset: a key of ``DATASETS``, or ``auto`` to go by what lies in the folder.

    Raises:
        InputError: where the folder is of no known layout, or something in it is wrong.
    """
    reading.check()
    name = recognize(folder) if dataset == "auto" else dataset
    if name not in DATASETS:
        near = did_you_mean(name, DATASETS)
        raise InputError(f"--format: expected auto or one of {', '.join(DATASETS)}, found {name!r}{near}")
    opened = DATASETS[name](folder, reading)
    opened.fingerprint = opened.fingerprint or data_fingerprint(opened.splits)
    return opened
