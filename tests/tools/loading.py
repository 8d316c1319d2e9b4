"""Programs of ``tools/`` as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import gazenas

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
