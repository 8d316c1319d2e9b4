"""gazenas: neural architecture search for gaze estimation. The public names, nothing else.

Each name is loaded when it is first used, so that the runtime in ``gazenas.export`` needs no torch and a
person who only runs a subnet never loads the search.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gazenas import search
    from gazenas.counting import count_macs, count_params
    from gazenas.errors import InputError
    from gazenas.faces.predictor import GazePredictor
    from gazenas.gaze import angular_error
    from gazenas.models.zoo import build_model, build_subnet, build_supernet, list_subnets, load_model, load_space
    from gazenas.space.architecture import Architecture
    from gazenas.space.search_space import SearchSpace

__all__ = [
    "Architecture",
    "GazePredictor",
    "InputError",
    "SearchSpace",
    "angular_error",
    "build_model",
    "build_subnet",
    "build_supernet",
    "count_macs",
    "count_params",
    "list_subnets",
    "load_model",
    "load_space",
    "search",
]

_HOMES = {
    "counting": ("count_macs", "count_params"),
    "errors": ("InputError",),
    "faces.predictor": ("GazePredictor",),
    "gaze": ("angular_error",),
    "models.zoo": ("build_model", "build_subnet", "build_supernet", "list_subnets", "load_model", "load_space"),
    "space.architecture": ("Architecture",),
    "space.search_space": ("SearchSpace",),
}


def __getattr__(name: str) -> Any:
    """Loads a public name from its home; the version is what the installed package says."""
    if name == "search":
        return importlib.import_module("gazenas.search")
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("gazenas")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"gazenas.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted([*globals(), *__all__])
