"""What is released: built, installed where nothing else is, and used; and what each Python must be able to read."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from packaging.markers import default_environment
from packaging.requirements import Requirement

import gazenas
from gazenas.__main__ import VERBS, main
from gazenas.export.onnx import onnx_bytes
from gazenas.models.zoo import load_model

ROOT = Path(gazenas.__file__).parent.parent
SHIPPED = "gazenas-fast-64-5m"
SOURCES = [path for room in ("gazenas", "tools", "tests") for path in sorted((ROOT / room).rglob("*.py"))]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
BASE = f"""
import importlib.util, sys
import torch, gazenas
assert "site-packages" in gazenas.__file__, gazenas.__file__
there = [name for name in ("scipy", "h5py", "onnx", "onnxruntime", "rich", "yaml") if importlib.util.find_spec(name)]
assert not there, there
torch.manual_seed(0)
network = gazenas.load_model("{SHIPPED}")
with torch.no_grad():
    print(gazenas.__version__, *network(torch.randn(1, 3, 64, 64)).flatten().tolist())
"""
RUNTIME = """
import sys
import numpy as np
from gazenas.export.runtime import GazeEstimator
faces = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
print(*GazeEstimator(sys.argv[1])(faces).flatten().tolist())
assert "torch" not in sys.modules
"""
HELP = """
import sys
from gazenas.__main__ import VERBS, main
for verb in VERBS:
    try:
        status = main([verb, "--help"])
    except SystemExit as stopped:
        status = stopped.code
    assert not status, (verb, status)
    print("done:", verb)
"""


def config() -> configparser.ConfigParser:
    found = configparser.ConfigParser()
    found.read(ROOT / "setup.cfg")
    return found


def test_every_python_that_is_promised_can_read_every_file() -> None:
    promised = re.findall(r"Python :: (3\.\d+)$", config()["metadata"]["classifiers"], re.M)
    assert tuple(promised) == PYTHONS
    assert config()["options"]["python_requires"] == f">={PYTHONS[0]}"
    oldest = (3, int(PYTHONS[0].partition(".")[2]))
    for path in SOURCES:
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=oldest)


@pytest.mark.slow
def test_what_is_used_of_the_standard_library_is_there(tmp_path: Path) -> None:
    """In the oldest Python, by typeshed, which knows what came when; numpy's own stubs are of newer ones."""
    words = ["--python-version", PYTHONS[0], "--cache-dir", str(tmp_path), "--disable-error-code", "no-any-return"]
    said = subprocess.run([sys.executable, "-m", "mypy", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout


def test_the_version_has_one_place(capsys: pytest.CaptureFixture[str]) -> None:
    version = config()["metadata"]["version"]
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gazenas {gazenas.__version__}\n"
    # Besides setup.cfg only what is installed knows it, which may be older than the sources.
    assert gazenas.__version__ == importlib.metadata.version("gazenas")
    assert not [path for path in SOURCES if f'"{version}"' in path.read_text(encoding="utf-8")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make dist` does, from a copy, since building leaves files behind."""
    copy = tmp_path_factory.mktemp("source") / "gazenas"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("gazenas", "search_spaces"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", str(copy)], check=True, capture_output=True)
    (built,) = (copy / "dist").glob("*.whl")
    assert len(list((copy / "dist").glob("*.tar.gz"))) == 1
    return built


def closure(requirements: list[str], extras: set[str]) -> dict[str, importlib.metadata.Distribution]:
    """The distributions installed here that requirements lead to, by name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    asked = [(text, extras) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while asked:
        text, wanted = asked.pop()
        need = Requirement(text)
        environments = [default_environment() | {"extra": extra} for extra in (wanted or {""})]
        if need.marker and not any(need.marker.evaluate(dict(each)) for each in environments):
            continue
        if (need.name, frozenset(need.extras)) in seen or need.name == "gazenas":
            continue
        seen.add((need.name, frozenset(need.extras)))
        found[need.name] = importlib.metadata.distribution(need.name)
        asked += [(each, set(need.extras)) for each in found[need.name].requires or []]
    return found


def installed(wheel: Path, folder: Path, extras: set[str]) -> Path:
    """An environment with the wheel, by pip, and of what is installed here exactly what the wheel asks for."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, str(wheel)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (metadata,) = packages.glob("gazenas-*.dist-info/METADATA")
    lines = metadata.read_text(encoding="utf-8").splitlines()
    asked = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    for own in closure(asked, extras).values():
        for name in {path.parts[0] for path in own.files or []} - {"..", "__pycache__"}:
            if not (packages / name).exists():
                (packages / name).symlink_to(Path(str(own.locate_file(name))).resolve())
    return python


def answer(python: Path, code: str, *words: str, at: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    said = subprocess.run(
        [python, "-c", code, *words], cwd=at, env=environment, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    return said.stdout


@pytest.mark.slow
def test_everything_is_in_the_wheel(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    here = [path for path in (ROOT / "gazenas").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {path.relative_to(ROOT).as_posix() for path in here}
    expected |= {f"gazenas/search_spaces/{path.name}" for path in (ROOT / "search_spaces").glob("*.*")}
    assert "gazenas/py.typed" in expected
    assert {name for name in inside if ".dist-info/" not in name} == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in inside)


@pytest.mark.slow
def test_the_base_runs_a_shipped_subnet(wheel: Path, tmp_path: Path) -> None:
    python = installed(wheel, tmp_path / "base", set())
    version, *angles = answer(python, BASE, at=tmp_path).split()
    assert version == config()["metadata"]["version"]
    torch.manual_seed(0)
    with torch.no_grad():
        expected = load_model(SHIPPED)(torch.randn(1, 3, 64, 64)).flatten().tolist()
    assert [float(each) for each in angles] == pytest.approx(expected, abs=1e-5)
    script = python.with_name("gazenas")
    assert subprocess.run([script, "doctor"], cwd=tmp_path, capture_output=True, check=False).returncode == 0
    lacking = subprocess.run([script, "ls"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert lacking.returncode == 2
    assert "pip install 'gazenas[search]'" in lacking.stderr


@pytest.mark.slow
def test_the_runtime_answers(wheel: Path, tmp_path: Path) -> None:
    python = installed(wheel, tmp_path / "export", {"export"})
    (tmp_path / "gaze.onnx").write_bytes(onnx_bytes(load_model(SHIPPED)))
    told = answer(python, RUNTIME, str(tmp_path / "gaze.onnx"), at=tmp_path).split()
    here = subprocess.run(
        [sys.executable, "-c", RUNTIME, str(tmp_path / "gaze.onnx")], capture_output=True, text=True, check=True
    )
    assert [float(each) for each in told] == pytest.approx([float(each) for each in here.stdout.split()], abs=1e-6)


@pytest.mark.slow
def test_every_verb_explains_itself(wheel: Path, tmp_path: Path) -> None:
    extras = re.findall(r"gazenas\[(\w+)\]", config()["options.extras_require"]["all"])
    python = installed(wheel, tmp_path / "all", {"all", *extras})
    said = answer(python, HELP, at=tmp_path)
    assert re.findall("^done: (.+)$", said, re.M) == list(VERBS)
