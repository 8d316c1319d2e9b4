"""What many tests need: a micro search space, and small data folders in the published layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import pytest
import torch
from matplotlib.figure import Figure

from gazenas.__main__ import main
from gazenas.architecture import SearchSpace
from gazenas.data.synthetic import generate
from gazenas.models.builders import build_supernet, load_space
from gazenas.models.network import Network
from tests.data import layouts
from tests.running import MICRO, TUNE, disturb, search

torch.set_num_threads(1)  # more threads than idle cores make small networks many times slower


@pytest.fixture(scope="session")
def micro_space() -> SearchSpace:
    return load_space(MICRO)


@pytest.fixture
def micro_net(micro_space: SearchSpace) -> Network:
    torch.manual_seed(0)
    return disturb(build_supernet(micro_space))


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "faces"
    generate(folder, subjects=5, per_subject=16, size=32, seed=3, workers=2)
    return folder


@pytest.fixture(scope="session")
def few_faces(data_folder: Path) -> layouts.Faces:
    """Every second face of the data folder, to be written in other layouts."""
    return layouts.faces_of(data_folder, every=2)


@pytest.fixture
def published_folder(data_folder: Path, tmp_path: Path) -> Path:
    """As ETH-XGaze is published: no val list, no landmarks, test files without gaze."""
    folder = tmp_path / "published"
    shutil.copytree(data_folder, folder)
    split = json.loads((folder / "train_test_split.json").read_text())
    published = {"train": split["train"] + split["val"], "test": split["test"], "test_person_specific": []}
    (folder / "train_test_split.json").write_text(json.dumps(published))
    for path in folder.glob("*/*.h5"):
        with h5py.File(path, "a") as file:
            del file["facial_landmarks"]
            if path.parent.name == "test":
                del file["face_gaze"]
    return folder


@pytest.fixture(scope="session")
def found(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "search"
    assert main(search(data_folder, out)) == 0
    return out


@pytest.fixture(scope="session")
def tuned(found: Path, data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "finetune"
    weights = ["--arch", str(found / "arch.json"), "--weights", str(found / "weights.safetensors")]
    assert main(["finetune", *weights, "--data", str(data_folder), *TUNE, "--out", str(out)]) == 0
    return out


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Pictures of single pixels, since drawing takes half of a small run; ``found`` and ``tuned`` are drawn in full."""
    if not request.node.get_closest_marker("pictures"):
        savefig = Figure.savefig
        one = Figure(figsize=(0.01, 0.01))
        monkeypatch.setattr(Figure, "savefig", lambda self, path, **words: savefig(one, path, **words))
