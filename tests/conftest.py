"""What many tests need: a micro search space, and small data folders in the published layout."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import torch
from filelock import FileLock
from matplotlib.figure import Figure

from gazenas.__main__ import main
from gazenas.costs.latency.measurement import machine_table, space_models
from gazenas.data.synthetic.generation import generate
from gazenas.export import timing
from gazenas.models.network import Network
from gazenas.models.zoo import build_supernet, load_space
from gazenas.space.search_space import SearchSpace
from tests.data import layouts
from tests.running import MICRO, MICRO_CHAIN, MICRO_STREAMS, TUNE, Once, disturb, search

# What `pytest -m core` runs, but for slow tests: folders of tests/ and names of files, wherever these lie.
CORE_FOLDERS = ("costs", "layers", "ops", "space")
CORE_FILES = (
    "test_architecture.py",
    "test_augmentation.py",
    "test_costs.py",
    "test_counting.py",
    "test_draw_rooms.py",
    "test_ethxgaze.py",
    "test_flags.py",
    "test_gaze.py",
    "test_house.py",
    "test_learning.py",
    "test_mutate.py",
    "test_optimization.py",
    "test_readers.py",
    "test_shrink.py",
)

torch.set_num_threads(1)  # more threads than idle cores make small networks many times slower


def keep_to_one_core() -> None:
    """Of several processes of tests each keeps to a core of its own, so that verbs, which take a thread a usable core,
    do not wait for one another."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker) % len(cores)]})


keep_to_one_core()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what the core is."""
    for item in items:
        path = item.path.relative_to(Path(__file__).parent)
        core = path.parts[0] in CORE_FOLDERS or path.name in CORE_FILES
        if core and not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.core)


@pytest.fixture(scope="session")
def micro_space() -> SearchSpace:
    return load_space(MICRO)


@pytest.fixture
def micro_net(micro_space: SearchSpace) -> Network:
    torch.manual_seed(0)
    return disturb(build_supernet(micro_space))


@pytest.fixture(params=[MICRO, MICRO_STREAMS, MICRO_CHAIN], ids=["paths", "streams", "chain"])
def any_net(request: pytest.FixtureRequest) -> Network:
    """A supernet of each kind of space: units inside blocks alone, streams too, and plain convolutions alone."""
    torch.manual_seed(0)
    return disturb(build_supernet(request.param))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Once:
    """``once(name, make)``: a path that ``make`` filled, once for all processes that run these tests together."""
    base = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):  # each process of pytest-xdist has a folder of its own in this one
        base = base.parent

    def path_of(name: str, make: Callable[[Path], object]) -> Path:
        path, made = base / "shared" / name, base / "shared" / f"{name}.made"
        made.parent.mkdir(exist_ok=True)
        with FileLock(f"{made}.lock"):
            if not made.exists():
                make(path)
                made.touch()
        return path

    return path_of


@pytest.fixture(scope="session")
def data_folder(once: Once) -> Path:
    return once("faces", lambda path: generate(path, subjects=5, per_subject=16, size=32, seed=3, workers=2))


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


def run(words: list[str]) -> None:
    assert main(words) == 0, words


@pytest.fixture(scope="session")
def found(data_folder: Path, once: Once) -> Path:
    """A search that nothing disturbed."""
    return once("search", lambda out: run(search(data_folder, out)))


@pytest.fixture(scope="session")
def tuned(found: Path, data_folder: Path, once: Once) -> Path:
    weights = ["--arch", str(found / "arch.json"), "--weights", str(found / "weights.safetensors")]
    return once(
        "finetune", lambda out: run(["finetune", *weights, "--data", str(data_folder), *TUNE, "--out", str(out)])
    )


@pytest.fixture(scope="session")
def exported(tuned: Path, data_folder: Path, once: Once) -> Path:
    """``tuned`` as an ONNX file, in a folder of its own."""

    def export(folder: Path) -> None:
        folder.mkdir()
        words = ["export", "--model", str(tuned), "--data", str(data_folder), "--face-model", "rendered68"]
        run([*words, "--out", str(folder / "tuned.onnx")])

    return once("exported", export) / "tuned.onnx"


@pytest.fixture(scope="session")
def latency_cache(micro_space: SearchSpace, once: Once) -> Path:
    """What ``XDG_CACHE_HOME`` may be where this machine's table of the micro space is wanted: it is measured once."""

    def measure(path: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(path))
            patch.setattr(timing, "ROUNDS", 1)  # whoever asks for the table wants milliseconds, not the fastest
            machine_table(space_models(micro_space))

    return once("cache", measure)


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Pictures of single pixels, since drawing takes half of a small run; ``found`` and ``tuned`` are drawn in full."""
    if not request.node.get_closest_marker("pictures"):
        savefig = Figure.savefig
        one = Figure(figsize=(0.01, 0.01))
        monkeypatch.setattr(Figure, "savefig", lambda self, path, **words: savefig(one, path, **words))
