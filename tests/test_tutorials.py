"""The tutorials and the README run as they are written: their blocks, in order, in an empty folder; the site is built.

A block that says ``bash`` or ``python`` is run; after a line that ends with a file's name and a colon it is written to
that file instead; ``diff`` is applied. Blocks without a language are only shown. ``# -> FILE`` promises a file.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from gazenas.errors import InputError
from gazenas.faces.model_files import FAR, IRIS_FILE, MESH_FILE, NEAR, find_files

ROOT = Path(__file__).parent.parent
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"(?:`([\w/]+\.\w+)`:\n\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)
CLONED = ("gazenas", "search_spaces", "tests", "tools", "setup.cfg", "pyproject.toml")
RUNNERS = {"bash": ["bash", "-euo", "pipefail"], "python": [sys.executable], "diff": ["patch", "-p1"]}
# What the README's Python takes as given.
GIVEN = """import numpy as np
import torch

images, face = torch.zeros(1, 3, 64, 64), np.zeros((64, 64, 3), np.uint8)
"""
# Commands of the README that are shown and not run here, by how they begin, and why.
NOT_RUN = {
    "make demo": "it takes minutes, and tests/test_demo.py runs it on a few faces",
    "make test": "these tests are part of it",
    "pip install": "tests change no environment",
    "gazenas data check MPIIFaceGaze": "other people's data",
    "gazenas data prepare MPIIFaceGaze": "other people's data",
    "gazenas protocol mpiifacegaze": "other people's data",
    "gazenas search   --data xgaze_224px": "other people's data",
    "gazenas finetune --arch runs/search": "other people's data",
    "torchrun": "several machines",
}


def blocks_of(page: Path) -> list[tuple[str, str, str]]:
    """File, language and text of each block."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def run_blocks(page: Path, folder: Path, given: str = "") -> None:
    """Runs a page's blocks in a folder; the first that fails is the test's failure.

    ``gazenas`` and ``python`` are those of this process; a clone in the folder comes before them.

    Args:
        page: Markdown.
        folder: where they run.
        given: Python that comes before each block of it.
    """
    tools = folder / ".bin"
    tools.mkdir()
    for name, words in (("python", ""), ("gazenas", " -m gazenas")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{words} "$@"\n')
        (tools / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "OMP_NUM_THREADS": "1",
    }
    for name, language, text in blocks_of(page):
        if name:
            (folder / name).write_text(text, encoding="utf-8")
        if name or not language:
            continue
        said = given + text if language == "python" else text
        done = subprocess.run(
            RUNNERS[language], input=said, text=True, cwd=folder, env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, f"{page.name}: {text}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        missing = [path for path in re.findall(r"# -> (\S+)", text) if not (folder / path).exists()]
        assert not missing, f"{page.name}: {text} left no {missing}"


def fetch_finder() -> None:
    """Skips where the default finder's networks are neither here nor to be had."""
    pytest.importorskip("ai_edge_litert")
    try:
        find_files([NEAR, FAR, MESH_FILE, IRIS_FILE])
    except InputError as error:
        pytest.skip(f"the finder's networks: {error}")


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs_as_it_is_written(page: Path, tmp_path: Path) -> None:
    if page.stem == "webcam":
        fetch_finder()
    if page.stem == "operator":
        for name in CLONED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, tmp_path / name)
    run_blocks(page, tmp_path)


@pytest.mark.slow
def test_the_readme_ends_as_it_says(tmp_path: Path) -> None:
    fetch_finder()
    shutil.copy(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg", tmp_path / "photo.jpg")
    run_blocks(ROOT / "README.md", tmp_path, GIVEN)


def test_every_command_of_the_readme_is_run_or_said_why_not() -> None:
    shown = [line for _, language, text in blocks_of(ROOT / "README.md") if not language for line in text.splitlines()]
    commands = [line for line in shown if re.match(r"(make|pip|gazenas|python|torchrun) ", line)]
    assert {next((start for start in NOT_RUN if line.startswith(start)), line) for line in commands} == set(NOT_RUN)


def test_tutorials_run_something() -> None:
    assert {page.stem for page in TUTORIALS} == {"board", "operator", "own_folder", "small_file", "webcam"}
    assert all("bash" in {language for _, language, _ in blocks_of(page)} for page in TUTORIALS)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    if importlib.util.find_spec("sphinx") is None:
        pytest.skip("without the extra docs; make docs and make test-slow install it")
    words = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "docs", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "How a search works" in page
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?:', page)
