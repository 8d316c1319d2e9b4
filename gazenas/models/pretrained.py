"""Weights of others, such as those of ImageNet, laid under a network from a file that a person has.

Names are compared from some depth on: what a file calls ``features.0.weight`` may be ``left.0.weight`` here. Tensors of
one name and shape are taken, the others stay fresh; two towers of one build get the same weights.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gazenas.errors import InputError
from gazenas.files import nearest_file
from gazenas.models.weights import read_tensors

DEPTH = 3  # parts of a name that may differ
FEWEST = 4  # tensors that have to fit
INSIDE = ("state_dict", "model", "model_state")  # under which training programs keep the weights in their files
Named = dict[str, Tensor]


@dataclass(frozen=True)
class Pretrained:
    """What was taken.

    Attributes:
        file: its name.
        sha256: of the file.
        tensors: how many of the network's were filled.
        of: how many the network has.
    """

    file: str
    sha256: str
    tensors: int
    of: int

    def record(self) -> dict[str, Any]:
        """For a summary."""
        return asdict(self)


def load_pretrained(network: nn.Module, path: Path) -> Pretrained:
    """Fills what fits of a network.

    Args:
        network: changed in place.
        path: a safetensors file, or one that torch saved, of tensors by name.

    Raises:
        InputError: where the file cannot be read, or fits no part of the network.
    """
    given, own = _tensors(path), network.state_dict()
    here, there = _by_prefix(own), _by_prefix(given)
    fits = {
        (place, source): sum(inside.get(name) == shape for name, shape in part.items())
        for place, part in here.items()
        for source, inside in there.items()
    }
    (place, source), most = max(fits.items(), key=lambda pair: (pair[1], len(pair[0][0])))
    if most < max(FEWEST, len(here[place]) / 2):
        raise InputError(
            f"{path}: expected tensors that fit a part of the network, such as {_first(own)}, found at most {most} of "
            f"{len(here[place])}; the file has {_first(given)}"
        )
    taken: Named = {}
    for each, part in here.items():
        if fits[each, source] == most and len(part) == len(here[place]):
            same = (name for name, shape in part.items() if there[source].get(name) == shape)
            taken |= {each + name: given[source + name] for name in same}
    network.load_state_dict(taken, strict=False)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Pretrained(path.name, digest, len(taken), len(own))


def _by_prefix(named: Mapping[str, Tensor]) -> dict[str, dict[str, torch.Size]]:
    """Shapes by what is left of their names, for every beginning of up to ``DEPTH`` parts that names have."""
    found: dict[str, dict[str, torch.Size]] = {}
    for name, value in named.items():
        parts = name.split(".")
        for depth in range(min(DEPTH, len(parts) - 1) + 1):
            prefix = "".join(f"{part}." for part in parts[:depth])
            found.setdefault(prefix, {})[name.removeprefix(prefix)] = value.shape
    return found


def _first(named: Mapping[str, Tensor]) -> str:
    name, value = next(iter(named.items()))
    return f"{name} {tuple(value.shape)}"


def _tensors(path: Path) -> Named:
    """Of a file, by name."""
    if not path.is_file():
        raise InputError(f"{path}: no such weights file{nearest_file(path)}")
    if path.suffix == ".safetensors":
        return read_tensors(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise InputError(f"{path}: expected tensors that torch saved, or safetensors: {error}") from error
    for key in INSIDE:
        found = found.get(key, found) if isinstance(found, dict) else found
    tensors = (
        {name: value for name, value in found.items() if isinstance(value, Tensor)} if isinstance(found, dict) else {}
    )
    if not tensors:
        raise InputError(f"{path}: expected tensors by name, found {type(found).__name__}")
    return tensors
