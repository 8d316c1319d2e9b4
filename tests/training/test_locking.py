"""A file is held by one process at a time, by whatever the system has for it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gazenas.training import locking

OTHER = "import sys; from gazenas.training.locking import hold; print(hold(open(sys.argv[1], 'a')))"


def another_holds(path: Path) -> bool:
    said = subprocess.run([sys.executable, "-c", OTHER, str(path)], capture_output=True, text=True, check=True).stdout
    return said.strip() == "True"


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    with path.open("a") as file:
        assert locking.hold(file)
        assert not another_holds(path)
    assert another_holds(path)


def test_as_windows_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte beyond the log is locked, and what is written afterwards still goes to the log's end."""
    locked: list[tuple[int, int, int]] = []

    def locking_(number: int, mode: int, count: int) -> None:
        at = os.lseek(number, 0, os.SEEK_CUR)
        if any(at == begun for _, begun, _ in locked):
            raise OSError("locked")
        locked.append((mode, at, count))

    find = importlib.import_module

    def on_windows(name: str) -> ModuleType | Any:
        if name == "fcntl":
            raise ModuleNotFoundError(name=name)
        return SimpleNamespace(locking=locking_, LK_NBLCK=2) if name == "msvcrt" else find(name)

    monkeypatch.setattr(locking.importlib, "import_module", on_windows)
    path = tmp_path / "log.txt"
    path.write_text("first\n")
    with path.open("a") as file, path.open("a") as other:
        assert locking.hold(file)
        assert not locking.hold(other)
        file.write("second\n")
    assert locked == [(2, locking.FAR, 1)]
    assert path.read_text() == "first\nsecond\n"
