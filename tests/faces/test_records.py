"""Rows say what was found; folders are written whole or not at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gazenas.data.normalization.cameras import assume_camera
from gazenas.errors import InputError
from gazenas.faces.drawing import ARROW, arrow_ends, draw_gazes
from gazenas.faces.frame import Frame
from gazenas.faces.predictor import GazePredictor
from gazenas.faces.records import COLUMNS, PredictionFolder, records_of, rotation_vector
from gazenas.gaze import angles_to_vectors
from tests.faces.people import Known, Says, face_at, head_at

CAMERA = assume_camera(320, 240)
IMAGE = np.full((240, 320, 3), 90, np.uint8)


def test_rotation_vectors_are_scipy_s() -> None:
    for seed in range(10):
        turned = Rotation.random(random_state=seed)
        np.testing.assert_allclose(rotation_vector(turned.as_matrix()), turned.as_rotvec(), atol=1e-6)
    np.testing.assert_allclose(rotation_vector(np.eye(3)), 0)


def test_a_row_a_face() -> None:
    head = head_at(30.0, -20.0, 600.0, (0.1, 0.2, 0.3))
    predictor = GazePredictor(Says(0.1, -0.2), finder=Known(face_at(CAMERA, *head)), camera=CAMERA)
    (row,) = records_of(Frame(IMAGE, 7, 0.25, "a.png"), predictor.image(IMAGE))
    assert tuple(row) == COLUMNS
    assert (row["source"], row["frame"], row["time"], row["face"], row["status"]) == ("a.png", 7, 0.25, 0, "ok")
    assert (row["pitch"], row["yaw"]) == pytest.approx((0.1, -0.2))
    gaze = np.array([row["gaze_x"], row["gaze_y"], row["gaze_z"]])
    origin = np.array([row["origin_x"], row["origin_y"], row["origin_z"]])
    np.testing.assert_allclose(origin, [30, -20, 600], atol=0.02)
    assert row["distance"] == pytest.approx(np.linalg.norm(origin), abs=0.02)
    assert np.linalg.norm(gaze) == pytest.approx(1)
    vector = [row["head_rotation_x"], row["head_rotation_y"], row["head_rotation_z"]]
    np.testing.assert_allclose(Rotation.from_rotvec(vector).as_matrix(), head[0], atol=1e-4)
    assert row["iris_pitch"] is None
    json.dumps(row, allow_nan=False)


def test_a_row_where_there_is_no_face() -> None:
    (row,) = records_of(Frame(None, 2, 0.5, "film.mp4", reason="cut off"), [])
    assert (row["status"], row["reason"], row["pitch"]) == ("unreadable", "cut off", None)
    (row,) = records_of(Frame(IMAGE, 3), [])
    assert (row["status"], row["face"]) == ("no_face", None)
    nobody = face_at(CAMERA, *head_at(2000.0))
    (row,) = records_of(Frame(IMAGE), GazePredictor(Says(0, 0), finder=Known(nobody), camera=CAMERA).image(IMAGE))
    assert row["status"] == "no_face"
    assert "beside it" in row["reason"]
    assert row["box_x"] is not None


def test_an_arrow_is_the_projection_of_a_point_along_the_gaze() -> None:
    origin, direction = np.array([100.0, -50, 600]), angles_to_vectors(np.array([0.2, 0.4]))
    ends = arrow_ends(CAMERA, origin, direction)
    assert ends is not None
    focal, middle = 320, np.array([159.5, 119.5])
    np.testing.assert_allclose(ends[0], focal * origin[:2] / 600 + middle)
    tip = origin + ARROW * direction
    np.testing.assert_allclose(ends[1], focal * tip[:2] / tip[2] + middle)
    assert arrow_ends(CAMERA, np.array([0, 0, 50.0]), np.array([0, 0, -1.0])) is None


def test_drawings_show_arrows_and_leave_the_image_alone() -> None:
    face = face_at(CAMERA, *head_at())
    predictor = GazePredictor(Says(0.0, 0.6), finder=Known(face), camera=CAMERA)
    before = IMAGE.copy()
    drawn = draw_gazes(IMAGE, CAMERA, predictor.image(IMAGE))
    np.testing.assert_array_equal(IMAGE, before)
    red = np.argwhere((drawn[..., 0] > 200) & (drawn[..., 1] < 100))
    assert red[:, 1].min() < 159 - 25  # to the image's left, where positive yaw looks
    assert red[:, 1].max() < 170
    assert draw_gazes(np.zeros((1, 1, 3), np.uint8), CAMERA, []).shape == (1, 1, 3)


def test_a_folder_is_whole_or_not_at_all(tmp_path: Path) -> None:
    rows = records_of(Frame(IMAGE, 0, 0.0, "a, b.png"), [])

    def fails(out: Path) -> None:
        with PredictionFolder(out, overwrite=True) as folder:
            folder.write(rows)
            folder.draw_picture(IMAGE, "a.png")
            raise InputError("broke")

    with pytest.raises(InputError, match="broke"):
        fails(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with PredictionFolder(tmp_path / "out") as folder:
        folder.write(rows)
        folder.draw_picture(IMAGE, "x/a.png")
        folder.draw_picture(IMAGE, "y/a.png")
        folder.finish({"verb": "predict"})
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"predictions.csv", "predictions.jsonl", "summary.json", "pictures"}
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 2
    (row,) = csv.DictReader((tmp_path / "out" / "predictions.csv").open())
    assert (row["source"], row["status"], row["pitch"]) == ("a, b.png", "no_face", "")
    kept = (tmp_path / "out" / "predictions.csv").read_bytes()
    with pytest.raises(InputError, match="--overwrite"):
        PredictionFolder(tmp_path / "out")
    with pytest.raises(InputError, match="broke"):
        fails(tmp_path / "out")
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == kept
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a folder"):
        PredictionFolder(tmp_path / "file")
