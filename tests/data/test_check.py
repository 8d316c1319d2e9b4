"""``data check`` passes what is right and names what is wrong: order, signs, units, colors, copies, people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from gazenas.commands.data import REFERENCE
from gazenas.data import dataset
from gazenas.data.checks.evidence import from_head, from_network, redness
from gazenas.data.checks.folder import FAIL, UNDECIDED, WARN, Finding, check_folder
from gazenas.data.dataset import GazeFolder
from gazenas.data.readers import open_data
from gazenas.data.readers.convention import CONVENTIONS
from gazenas.data.readers.reading import Reading
from gazenas.data.synthetic.generation import generate
from gazenas.errors import InputError
from gazenas.models.zoo import load_model
from gazenas.training.loop import predict_faces
from tests.data import layouts
from tests.data.layouts import WRITERS, Array, Faces


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Faces:
    folder = tmp_path_factory.mktemp("faces") / "faces"
    generate(folder, subjects=5, per_subject=32, size=64, seed=5, workers=2)
    return layouts.faces_of(folder)


def check(opened: GazeFolder) -> dict[str, Finding]:
    network = load_model(REFERENCE)
    findings, _ = check_folder(opened, lambda images: predict_faces(network, dataset.Faces(images)), network.input_size)
    return {finding.check: finding for finding in findings}


@pytest.mark.parametrize("layout", WRITERS)
def test_what_is_right_passes(layout: str, faces: Faces, tmp_path: Path) -> None:
    WRITERS[layout](tmp_path / "data", faces)
    found = check(open_data(tmp_path / "data"))
    assert {name: finding for name, finding in found.items() if finding.status in (FAIL, WARN)} == {}
    assert found["sign and order"].status == "pass"
    assert found["colors"].status == "pass"


def turn(swap: bool, pitch: int, yaw: int) -> Callable[[Array], Array]:
    return lambda angles: (angles * np.array([pitch, yaw]))[:, :: -1 if swap else 1]


TURNS = {
    "yaw and pitch swapped": turn(True, 1, 1),
    "the sign of pitch flipped": turn(False, -1, 1),
    "the sign of yaw flipped": turn(False, 1, -1),
    "the sign of pitch flipped, the sign of yaw flipped": turn(False, -1, -1),
}


@pytest.mark.parametrize("layout", ["mpiifacegaze-mat", "table"])
@pytest.mark.parametrize("wrong", TURNS)
def test_conventions_are_named(layout: str, wrong: str, faces: Faces, tmp_path: Path) -> None:
    """Gaze and head turned alike, so that only pictures can tell."""
    turned = replace(faces, gaze=TURNS[wrong](faces.gaze), head=TURNS[wrong](faces.head))
    if (np.abs(turned.gaze[:, 0]) > np.pi / 2).any():
        usable = (np.abs(turned.gaze[:, 0]) < np.pi / 2) & (np.abs(turned.head[:, 0]) < np.pi / 2)
        turned = Faces(turned.images[usable], turned.gaze[usable], turned.head[usable], turned.person[usable])
    WRITERS[layout](tmp_path / "data", turned)
    found = check(open_data(tmp_path / "data"))
    assert found["sign and order"].status == FAIL
    assert f"labels fit with {wrong}:" in found["sign and order"].text
    if "swapped" not in wrong:
        options = Reading(flip=",".join(word for word in ("pitch", "yaw") if f"sign of {word}" in wrong))
        assert check(open_data(tmp_path / "data", options))["sign and order"].status == "pass"


def test_gaze_alone_turned_disagrees_with_the_head(faces: Faces, tmp_path: Path) -> None:
    WRITERS["ethxgaze"](tmp_path / "data", replace(faces, gaze=faces.gaze * np.array([1, -1])))
    found = check(open_data(tmp_path / "data"))
    assert "labels fit with the sign of yaw flipped" in found["gaze and head"].text


@pytest.mark.parametrize("layout", ["ethxgaze", "table"])
def test_units_are_named(layout: str, faces: Faces, tmp_path: Path) -> None:
    """Degrees where radians are stored, and radians where degrees are."""
    factor = 180 / np.pi if layout == "ethxgaze" else np.pi / 180
    WRITERS[layout](tmp_path / "data", replace(faces, gaze=faces.gaze * factor, head=faces.head * factor))
    if layout == "ethxgaze":
        with pytest.raises(InputError, match="are these degrees"):
            open_data(tmp_path / "data")
    else:
        assert "radians taken for degrees" in check(open_data(tmp_path / "data"))["angles"].text


@pytest.mark.parametrize("layout", ["ethxgaze", "mpiifacegaze-mat", "table"])
def test_colors_are_named(layout: str, faces: Faces, tmp_path: Path) -> None:
    WRITERS[layout](tmp_path / "data", replace(faces, images=faces.images[..., ::-1]))
    found = check(open_data(tmp_path / "data"))["colors"]
    assert found.status == FAIL
    assert "0% of 160 faces are redder than blue" in found.text
    if layout != "table":
        assert check(open_data(tmp_path / "data", Reading(colors="RGB")))["colors"].status == "pass"


def test_gray_faces_are_undecided(faces: Faces, tmp_path: Path) -> None:
    gray = faces.images.mean(-1, keepdims=True).astype(np.uint8).repeat(3, -1)
    WRITERS["ethxgaze"](tmp_path / "data", replace(faces, images=gray))
    assert check(open_data(tmp_path / "data"))["colors"].status == UNDECIDED
    assert abs(redness(gray)).max() == 0


def test_copies(faces: Faces, tmp_path: Path) -> None:
    images = faces.images.copy()
    images[1] = images[0]
    WRITERS["ethxgaze"](tmp_path / "one", replace(faces, images=images))
    assert check(open_data(tmp_path / "one"))["duplicates"].status == WARN
    images[-1] = images[0]
    WRITERS["ethxgaze"](tmp_path / "two", replace(faces, images=images))
    assert "belong to two people" in check(open_data(tmp_path / "two"))["duplicates"].text


def test_blocks_are_noticed(faces: Faces, tmp_path: Path) -> None:
    WRITERS["ethxgaze"](tmp_path / "data", faces)
    for path in (tmp_path / "data").glob("*/*.h5"):
        with h5py.File(path, "a") as file:
            images = file["face_patch"][()]
            del file["face_patch"]
            file.create_dataset("face_patch", data=images, chunks=(8, 64, 64, 3))
    assert "in blocks of 8" in check(open_data(tmp_path / "data"))["reading"].text


def test_no_evidence_is_no_verdict() -> None:
    rng = np.random.default_rng(0)
    labels, answers = rng.normal(0, 0.3, (200, 2)), rng.normal(0, 0.3, (200, 2))
    assert from_network(labels, answers).best is None
    assert not from_head(labels, answers, "head poses").decided
    assert not from_head(labels, np.zeros((200, 2)), "head poses").decided


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions_undo_what_they_name(name: str) -> None:
    """Evidence finds the one that was applied, whichever it was; each is its own inverse but for swaps with a flip."""
    rng = np.random.default_rng(1)
    true = rng.normal(0, 0.4, (300, 2)) * np.array([0.6, 1.0])
    stored = next(undo(true) for other, undo in CONVENTIONS.items() if np.allclose(CONVENTIONS[name](undo(true)), true))
    assert from_network(stored, true + rng.normal(0, 0.05, true.shape)).best == name
    assert from_head(stored, 0.7 * true + rng.normal(0, 0.1, true.shape), "head poses").best == name
