"""gazenas: neural architecture search for gaze estimation. The public names, nothing else.

Each name is loaded when it is first used, so that the runtime in ``gazenas.export`` needs no torch and a
person who only runs a subnet never loads the search.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gazenas import search
    from gazenas.architecture import Architecture, InputError, SearchSpace
    from gazenas.counting import count_macs, count_params
    from gazenas.gaze import angular_error
    from gazenas.models.builders import build_model, build_subnet, build_supernet, list_subnets, load_model, load_space

__version__ = "0.1.0"
__all__ = [
    "Architecture",
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
    "architecture": ("Architecture", "InputError", "SearchSpace"),
    "counting": ("count_macs", "count_params"),
    "gaze": ("angular_error",),
    "models.builders": ("build_model", "build_subnet", "build_supernet", "list_subnets", "load_model", "load_space"),
}


def __getattr__(name: str) -> Any:
    """Loads a public name from its home."""
    if name == "search":
        return importlib.import_module("gazenas.search")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"gazenas.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted([*globals(), *__all__])
