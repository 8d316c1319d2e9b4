"""gazenas: neural architecture search for gaze estimation. The public names, nothing else."""

from typing import TYPE_CHECKING, Any

from gazenas.architecture import Architecture, InputError, SearchSpace
from gazenas.counting import count_macs, count_params
from gazenas.gaze import angular_error
from gazenas.models.builders import build_subnet, build_supernet, list_subnets, load_model, load_space

if TYPE_CHECKING:
    from gazenas import search

__version__ = "0.1.0"
__all__ = [
    "Architecture",
    "InputError",
    "SearchSpace",
    "angular_error",
    "build_subnet",
    "build_supernet",
    "count_macs",
    "count_params",
    "list_subnets",
    "load_model",
    "load_space",
    "search",
]


def __getattr__(name: str) -> Any:
    """Loads ``gazenas.search`` when it is first named: a person who only runs a subnet never does."""
    if name == "search":
        import importlib

        return importlib.import_module("gazenas.search")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
