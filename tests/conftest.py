"""What many tests need: a micro search space, and small data folders in the published layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import pytest
import torch

from gazenas.architecture import SearchSpace
from gazenas.data.synthetic import generate
from gazenas.models.builders import build_supernet, load_space
from gazenas.models.network import Network

torch.set_num_threads(1)  # more threads than idle cores make small networks many times slower
MICRO = Path(__file__).parent / "micro.yaml"


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


def disturb(network: Network) -> Network:
    """Moves every weight and statistic off its initial value, so that nothing cancels by accident."""
    generator = torch.Generator().manual_seed(1)

    def noise(shape: torch.Size) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * noise(parameter.shape).to(parameter))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.add_(0.3 * noise(module.running_mean.shape).to(module.running_mean))
                module.running_var.mul_(torch.exp(0.3 * noise(module.running_var.shape)).to(module.running_var))
    return network
