"""Face models: symmetric, told apart by their fingerprints, read from a person's own files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gazenas.errors import InputError
from gazenas.faces.contract import KEY, TRAINED_ON, check_face_model, contract_of, trained_on
from gazenas.faces.face_models import FACE_MODELS, MESH, XGAZE_ROWS, model_for, with_frame


@pytest.mark.parametrize("name", FACE_MODELS)
def test_a_mirrored_face_is_the_same_face(name: str) -> None:
    model = FACE_MODELS[name]
    rows = {tuple(np.round(point, 6)): weight for point, weight in zip(model.points, model.weights, strict=True)}
    assert {(-x + 0.0, y, z): weight for (x, y, z), weight in rows.items()} == {
        (x + 0.0, y, z): weight for (x, y, z), weight in rows.items()
    }
    assert len(model.indices) == len(set(model.indices)) == len(model.points)
    assert max(*model.indices, *model.frame) < model.landmarks
    np.testing.assert_allclose(model.center(np.eye(3), np.zeros(3))[0], 0, atol=1e-9)


def test_the_mesh_has_the_solver_s_33_points_with_eyes_where_its_six_have_them() -> None:
    assert len(MESH.indices) == 33
    for index, point in zip(MESH.frame[:4], MESH.frame_points[:4], strict=True):
        np.testing.assert_allclose(MESH.points[MESH.indices.index(index)], point)


def test_fingerprints_follow_the_face_center_alone() -> None:
    assert FACE_MODELS["mediapipe"].fingerprint == FACE_MODELS["mediapipe68"].fingerprint
    assert FACE_MODELS["rendered68"].fingerprint != FACE_MODELS["mediapipe68"].fingerprint


def test_own_points(tmp_path: Path) -> None:
    fifty = np.arange(150.0).reshape(50, 3)
    np.savetxt(tmp_path / "fifty.txt", fifty)
    model = with_frame(MESH, str(tmp_path / "fifty.txt"))
    np.testing.assert_allclose(model.points, fifty[list(XGAZE_ROWS)])
    assert model.indices == MESH.frame
    assert model.landmarks == 468
    assert model.name == "fifty.txt"
    (tmp_path / "six.csv").write_text("1,2,3\n" * 6)
    assert with_frame(MESH, str(tmp_path / "six.csv")).frame_points.tolist() == [[1, 2, 3]] * 6


@pytest.mark.parametrize(
    ("text", "said"),
    [("1 2\n" * 6, "6 or 50 lines"), ("a b c\n", "three numbers"), ("1 2 nan\n" * 6, "finite"), ("", "6 or 50 lines")],
)
def test_damaged_points(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "model.txt").write_text(text)
    with pytest.raises(InputError, match=said):
        with_frame(MESH, str(tmp_path / "model.txt"))


def test_what_is_not_there() -> None:
    with pytest.raises(InputError, match="expected a file or one of mediapipe"):
        with_frame(MESH, "nothing")
    with pytest.raises(InputError, match="6, 68, 468 of a face, found 5"):
        model_for(5)


def test_another_face_model_is_refused_unless_asked_for() -> None:
    assert check_face_model({KEY: contract_of(MESH)}, MESH) == ""
    assert "does not say" in check_face_model({}, MESH)
    other = {KEY: contract_of(FACE_MODELS["rendered68"])}
    with pytest.raises(InputError, match="--any-face-model"):
        check_face_model(other, MESH)
    assert "constant angle" in check_face_model(other, MESH, refuse=False)


def test_what_a_network_was_trained_on(tmp_path: Path) -> None:
    """By a shipped subnet's card, a run's record with the weights that it began with, an ONNX file's own word."""
    assert "rendered faces" in trained_on("gazenas-fast-64-5m")
    record = {"data": {"fingerprint": "ab", "names": {"train": ["x", "y"]}}, "began_with": {"cd": ["z"]}}
    (tmp_path / "summary.json").write_text(json.dumps(record))
    said = "Trained on people: 2 of the data set ab, 1 of the data set cd."
    assert trained_on(str(tmp_path)) == said
    assert trained_on("gaze.onnx", {TRAINED_ON: said}) == said
    assert "does not say" in trained_on("gaze.onnx", {KEY: "mediapipe"})
    (tmp_path / "summary.json").unlink()
    assert "nothing says" in trained_on(str(tmp_path))
