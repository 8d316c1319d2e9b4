"""A small plain network, trained once for all tests of compression."""

from __future__ import annotations

from pathlib import Path

import pytest

from gazenas.__main__ import main
from gazenas.models.build import full_architecture
from gazenas.models.zoo import load_space
from tests.running import MICRO_CHAIN, TUNE, Once


@pytest.fixture(scope="module")
def arch(once: Once) -> Path:
    return once("chain.json", lambda path: full_architecture(load_space(MICRO_CHAIN)).save(path))


@pytest.fixture(scope="module")
def trained(once: Once, data_folder: Path, arch: Path) -> Path:
    words = ["finetune", "--arch", str(arch), "--data", str(data_folder), *TUNE]
    return once("plain", lambda out: main([*words, "--out", str(out)]))
