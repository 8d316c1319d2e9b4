"""Weights in safetensors files: strictly loaded, with a person's entries laid over them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from gazenas.errors import InputError
from gazenas.files import nearest_file


def input_channels_of(weights: Path) -> int:
    """Of the network whose weights these are."""
    first = read_tensors(weights).get("stem.0.weight")
    return int(first.shape[1]) if first is not None and first.dim() == 4 else 3


def add_user(network: nn.Module, path: Path) -> None:
    """Lays a person's entries over the weights for which they were made."""
    entries, state = read_tensors(path), network.state_dict()
    unknown = sorted(set(entries) - set(state))
    if unknown:
        raise InputError(
            f"{path}: holds {unknown[0]!r}, which the network lacks; was it made for another architecture?"
        )
    with safe_open(path, framework="pt") as file:
        made_for = (file.metadata() or {}).get("weights", "")
    if made_for and made_for != weights_hash(network):
        raise InputError(
            f"{path}: was made for weights {made_for}, found weights {weights_hash(network)}; "
            "'gazenas calibrate --save' makes one for these"
        )
    _load_state(network, state | entries, path)


def weights_hash(network: nn.Module) -> str:
    """A hash of all parameters and buffers, by name: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def load_weights(network: nn.Module, path: Path) -> None:
    """Loads a safetensors file strictly.

    Raises:
        InputError: where the file is absent, damaged, or has other tensors than the network.
    """
    _load_state(network, read_tensors(path), path)


def read_tensors(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file by name.

    Raises:
        InputError: where it is absent or damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such weights file{nearest_file(path)}")
    try:
        tensors: dict[str, Any] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: expected safetensors: {error}") from error
    return tensors


def _load_state(network: nn.Module, tensors: dict[str, Any], path: Path) -> None:
    expected = network.state_dict()
    stem = "stem.0.weight"
    if stem in expected and stem in tensors and expected[stem].shape[1] == 1 and tensors[stem].shape[1] == 3:
        tensors = tensors | {stem: tensors[stem].sum(1, keepdim=True)}
    missing, extra = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    other = [key for key in expected if key in tensors and expected[key].shape != tensors[key].shape]
    if missing or extra or other:
        shapes = [
            f"{key}: expected {tuple(expected[key].shape)}, found {tuple(tensors[key].shape)}" for key in other[:2]
        ]
        raise InputError(
            f"{path}: does not fit the architecture: missing {missing[:2]} ({len(missing)}), unknown {extra[:2]} "
            f"({len(extra)}), "
            f"other shapes {shapes} ({len(other)})"
        )
    network.load_state_dict(tensors)
