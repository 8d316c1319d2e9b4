"""Data sets: readers, one a file, and what trains and evaluates on them.

``DATASETS`` maps names to functions that open a folder; a new data set is one file and one line here.
"""

from collections.abc import Callable
from pathlib import Path

from gazenas.architecture import InputError
from gazenas.data.ethxgaze import open_ethxgaze
from gazenas.data.ethxgaze_text import open_ethxgaze_text
from gazenas.data.eyediap import open_eyediap
from gazenas.data.gaze360 import open_gaze360
from gazenas.data.gaze360_mat import open_gaze360_mat
from gazenas.data.mpiifacegaze import open_mpiifacegaze
from gazenas.data.mpiifacegaze_mat import open_mpiifacegaze_mat
from gazenas.data.photos import open_photos
from gazenas.data.reading import DEFAULTS
from gazenas.data.reading import Reading as Reading
from gazenas.data.recognise import recognise
from gazenas.data.rtgene import open_rtgene
from gazenas.data.split import GazeFolder as GazeFolder
from gazenas.data.split import GazeSplit as GazeSplit
from gazenas.data.table import open_table

DATASETS: dict[str, Callable[[Path, Reading], GazeFolder]] = {
    "ethxgaze": open_ethxgaze,
    "ethxgaze-text": open_ethxgaze_text,
    "eyediap": open_eyediap,
    "gaze360": open_gaze360,
    "gaze360-mat": open_gaze360_mat,
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
    name = recognise(folder) if dataset == "auto" else dataset
    if name not in DATASETS:
        raise InputError(f"--format: expected auto or one of {', '.join(DATASETS)}, found {name!r}")
    return DATASETS[name](folder, reading)
