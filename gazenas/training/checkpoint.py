"""Checkpoints: written aside and renamed, the one before kept, read without executing code."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch

from gazenas.errors import InputError
from gazenas.files import write_aside

LAST, PREVIOUS = "last.pt", "previous.pt"
FORMAT = 3  # of what training runs save


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Writes ``state`` (tensors, numbers, texts, lists and dictionaries) as the newest checkpoint of ``folder``.

    A kill at any moment leaves at least one whole checkpoint behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / LAST
    buffer = io.BytesIO()
    torch.save(state | {"format": FORMAT}, buffer)
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
            raise InputError(
                f"{path}: format: expected {FORMAT}, found {state.get('format')!r}: end this run with the version of gazenas "
                "that began it, or start again with --overwrite"
            )
        return state, "; ".join([*faults, f"going on from {path}"])
    if faults:
        raise InputError("; ".join(faults) + "; start again with --overwrite")
    return None, "nothing was saved yet: starting from the beginning"
