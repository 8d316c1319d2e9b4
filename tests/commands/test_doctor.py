"""``gazenas doctor``: what it says of packages and verbs is so, and what is broken ends with status 2."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest

from gazenas.__main__ import VERBS, main
from gazenas.commands import doctor


def test_everything_works_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    words = [line.split() for line in said.splitlines() if line.startswith("  ")]
    assert ["onnxruntime", "(export)", importlib.metadata.version("onnxruntime")] in words
    assert ["torch", importlib.metadata.version("torch")] in words
    assert all([verb, "ready"] in words for verb in VERBS)
    assert "degrees from torch" in said
    assert "in 12 steps" in said


def test_what_a_verb_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gazenas.commands.search", None)
    ((verb, words),) = doctor.verbs(["search"])
    assert (verb, words) == ("search", "lacks gazenas.commands.search: pip install 'gazenas[all]'")
    rows = dict(doctor.packages())
    assert rows["numpy"] == importlib.metadata.version("numpy")
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert dict(doctor.packages())["h5py (search)"] == "absent: pip install 'gazenas[search]'"


def missing(name: str) -> str:
    raise importlib.metadata.PackageNotFoundError(name)


def test_what_is_broken_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(network: object) -> str:
        raise ArithmeticError("expected a loss that falls, found 1 to 2")

    monkeypatch.setattr(doctor, "_train", broken)
    assert main(["doctor", "--verbs", "export"]) == 2
    said = capsys.readouterr()
    assert "FAILS: ArithmeticError: expected a loss that falls" in said.out
    assert "found trouble with training" in said.err
    assert main(["doctor", "--verbs", "exprt"]) == 2
    assert "found 'exprt'" in capsys.readouterr().err
