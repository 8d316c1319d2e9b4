"""Checkpoints: written aside and renamed, the one before kept, read without executing code."""

from __future__ import annotations

import importlib.metadata
import io
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gazenas.errors import InputError
from gazenas.files import write_aside

LAST, PREVIOUS = "last.pt", "previous.pt"
FORMAT = 4  # of what training runs save


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Writes ``state`` (tensors, numbers, texts, lists and dictionaries) as the newest checkpoint of ``folder``.

    A kill at any moment leaves at least one whole checkpoint behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / LAST
    buffer = io.BytesIO()
    torch.save(state | {"format": FORMAT, "version": package_version()}, buffer)
    with write_aside(folder / f"new-{LAST}") as aside:
        aside.write_bytes(buffer.getbuffer())
    if last.exists():
        os.replace(last, folder / PREVIOUS)
    os.replace(folder / f"new-{LAST}", last)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of ``folder``, or None."""
    return next((folder / name for name in (f"new-{LAST}", LAST, PREVIOUS) if (folder / name).is_file()), None)


def load_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """The newest readable checkpoint, and a sentence about which it is.

    Returns:
        ``None`` where nothing was saved yet.

    Raises:
        InputError: where checkpoints exist and none can be read, or the newest readable one is of another format.
    """
    candidates = [folder / name for name in (f"new-{LAST}", LAST, PREVIOUS) if (folder / name).is_file()]
    faults = []
    for path in candidates:
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file fails in as many ways as there are bytes
            faults.append(f"{path} cannot be read ({type(error).__name__})")
            continue
        if state.get("format") != FORMAT:
            writer = f"gazenas {state['version']}" if "version" in state else "an older gazenas"
            raise InputError(
                f"{path}: format: expected {FORMAT}, that of gazenas {package_version()}, found "
                f"{state.get('format')!r}, written by {writer}: end this run with that version, or start again "
                "with --overwrite"
            )
        return state, "; ".join([*faults, f"going on from {path}"])
    if faults:
        raise InputError("; ".join(faults) + "; start again with --overwrite")
    return None, "nothing was saved yet: starting from the beginning"


def random_state(device: str) -> dict[str, Tensor]:
    """Where the random number generators of the CPU and of a GPU stand."""
    cpu = {"cpu": torch.get_rng_state()}
    return cpu | ({"cuda": torch.cuda.get_rng_state(device)} if device.startswith("cuda") else {})


def set_random_state(state: dict[str, Tensor], device: str) -> None:
    """Goes on where :func:`random_state` was taken; a GPU's only where it was one."""
    torch.set_rng_state(state["cpu"])
    if device.startswith("cuda") and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def package_version() -> str:
    """Of gazenas, as it is installed."""
    try:
        return importlib.metadata.version("gazenas")
    except importlib.metadata.PackageNotFoundError:  # run from its sources
        return "(not installed)"
