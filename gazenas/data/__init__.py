"""Data sets: readers, one a file, and what trains and evaluates on them.

``DATASETS`` maps names to functions that open a folder; a new data set is one file and one line here.
"""

from collections.abc import Callable

from gazenas.data.ethxgaze import open_ethxgaze
from gazenas.data.split import GazeFolder as GazeFolder
from gazenas.data.split import GazeSplit as GazeSplit

DATASETS: dict[str, Callable[..., GazeFolder]] = {
    "ethxgaze": open_ethxgaze,
}
