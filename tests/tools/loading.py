"""Programs of ``tools/`` as modules, and what stands in for the verbs that they run."""

from __future__ import annotations

import csv
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import gazenas
from gazenas.evaluation.verb_processes import VerbError

TOOLS = Path(gazenas.__file__).parents[1] / "tools"


def load_tool(path: str) -> ModuleType:
    """Of a path inside ``tools/``."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, TOOLS / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call_tool(path: str, monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The exit status of a program in this process."""
    monkeypatch.setattr(sys, "argv", [path, *map(str, words)])
    status: int = load_tool(path).main()
    return status


def rows_of(path: Path) -> list[dict[str, str]]:
    """Lines of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Verbs:
    """In place of ``VerbProcesses.run``: keeps in ``run`` what was asked for, and fails for words that hold ``bad``.

    Args:
        write: leaves what a verb would, given the verb, the word after it and its flags.
    """

    def __init__(self, write: Callable[[str, str, dict[str, str]], object]) -> None:
        self.write = write
        self.run: list[list[str]] = []
        self.bad = ""

    def __call__(self, words: list[str], log: Path | None = None) -> None:
        self.run.append(words)
        if self.bad and self.bad in words:
            raise VerbError(f"{self.bad} ended with status 1")
        flags = {word: words[i + 1] for i, word in enumerate(words[:-1]) if word.startswith("--")}
        self.write(words[0], words[1], flags)
