"""Normalization against the data set authors' numbers, against rays traced one by one, and there and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gazenas.data.normalization.geometry import Camera, Screen, Target, face_center, view_face
from gazenas.data.normalization.patch import warp_image
from gazenas.data.normalization.pose import solve_pose
from gazenas.data.synthetic.head import build_head
from gazenas.data.synthetic.landmarks import project_landmarks
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.scene import sample_scene
from gazenas.errors import InputError
from gazenas.gaze import angles_to_vectors

REFERENCE = Path(__file__).parents[3] / "shared" / "data" / "normref.json"
CASES = json.loads(REFERENCE.read_text())["cases"] if REFERENCE.is_file() else {}
MODEL = np.array([[-45, -2, 5], [-16, 0, 0], [16, 0, 0], [45, -2, 5], [-12, 45, 2], [12, 45, 2.0]])


def numbers(case: dict[str, Any], *names: str) -> Any:
    return np.array(next(case[name] for name in names if name in case)).squeeze()


@pytest.mark.skipif(not CASES, reason="the authors' numbers do not ship")
@pytest.mark.parametrize("name", CASES)
def test_the_authors_numbers(name: str) -> None:
    case = CASES[name]
    camera = Camera(numbers(case, "K"), np.zeros(0))
    rotation = Rotation.from_rotvec(numbers(case, "out_hr", "hr")).as_matrix()
    translation, model = numbers(case, "out_ht", "ht"), numbers(case, "face_model6")
    view = view_face(camera, rotation, face_center(model, rotation, translation), Target(448, 960, 300))
    np.testing.assert_allclose(view.rotation, numbers(case, "out_R"), atol=1e-6)
    np.testing.assert_allclose(
        Rotation.from_matrix(view.rotation @ rotation).as_rotvec(), numbers(case, "out_hr_norm"), atol=1e-6
    )
    angles = view.gaze_at(numbers(case, "gaze_target_mm"))
    np.testing.assert_allclose(angles, numbers(case, "out_pitchyaw_eth"), atol=1e-6)
    np.testing.assert_allclose(angles_to_vectors(angles), numbers(case, "out_gaze_norm"), atol=1e-6)
    seen = numbers(case, "landmarks6")
    np.testing.assert_allclose(view.landmarks(camera, seen), numbers(case, "out_landmarks448"), atol=0.01)
    if "out_landmarks224_demo" in case:
        small = view_face(camera, rotation, face_center(model, rotation, translation), Target())
        np.testing.assert_allclose(small.landmarks(camera, seen), numbers(case, "out_landmarks224_demo"), atol=0.01)
    lens = Camera(camera.matrix, np.array(case.get("dist", [])).ravel())

    def error(rotation: Any, translation: Any) -> float:
        return float(((lens.project(model @ rotation.T + translation) - seen) ** 2).sum())

    assert error(*solve_pose(lens, seen, model)) <= error(rotation, translation) * (1 + 1e-6)


def random_case(seed: int) -> tuple[Camera, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    matrix = np.array([[rng.uniform(500, 2000), 0, 330], [0, rng.uniform(500, 2000), 250], [0, 0, 1]])
    bends = np.array(
        [rng.uniform(-0.2, 0.2), rng.uniform(-0.1, 0.1), rng.uniform(-0.005, 0.005), rng.uniform(-0.005, 0.005)]
    )
    rotation = Rotation.from_euler("xyz", rng.uniform(-0.5, 0.5, 3)).as_matrix()
    translation = np.array([rng.uniform(-150, 150), rng.uniform(-100, 100), rng.uniform(350, 900)])
    return Camera(matrix, bends), rotation, translation, rng.uniform(-300, 300, 3) * np.array([1, 1, 0])


@pytest.mark.parametrize("seed", range(20))
def test_against_coordinates_and_rays(seed: int) -> None:
    """Written from the description: axes by Gram-Schmidt, angles from coordinates, landmarks as points seen by two
    cameras."""
    camera, rotation, translation, target = random_case(seed)
    center = face_center(MODEL, rotation, translation)
    view = view_face(camera, rotation, center, Target())
    z = center / np.linalg.norm(center)
    x = rotation[:, 0] - z * (z @ rotation[:, 0])
    x /= np.linalg.norm(x)
    y = np.array([z[1] * x[2] - z[2] * x[1], z[2] * x[0] - z[0] * x[2], z[0] * x[1] - z[1] * x[0]])
    gaze = target - center
    gx, gy, gz = (gaze @ axis / np.linalg.norm(gaze) for axis in (x, y, z))
    np.testing.assert_allclose(view.gaze_at(target), [np.arcsin(-gy), np.arctan2(-gx, -gz)], atol=1e-9)
    points = MODEL @ rotation.T + translation
    own = np.stack([points @ x, points @ y, points @ z], 1)
    scale = 600 / np.linalg.norm(center)
    expected = 960 * own[:, :2] / (own[:, 2:] * scale) + 112
    np.testing.assert_allclose(view.landmarks(camera, camera.project(points)), expected, atol=1e-3)
    np.testing.assert_allclose(view.to_camera(view.gaze_at(target)), gaze / np.linalg.norm(gaze), atol=1e-9)
    facing = -(rotation[:, 2])
    hx, hy, hz = (facing @ axis for axis in (x, y, z))
    np.testing.assert_allclose(view.head, [np.arcsin(-hy), np.arctan2(-hx, -hz)], atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_pose_is_found_again(seed: int) -> None:
    camera, rotation, translation, _ = random_case(seed)
    found, moved = solve_pose(camera, camera.project(MODEL @ rotation.T + translation), MODEL)
    assert np.abs(found - rotation).max() < 1e-4
    assert np.abs(moved - translation).max() < 0.1


def test_lens_there_and_back() -> None:
    camera, *_ = random_case(3)
    positions = np.random.default_rng(0).uniform(50, 550, (40, 2))
    np.testing.assert_allclose(camera.project(camera.rays(positions)), positions, atol=1e-6)


def test_screen_there_and_back() -> None:
    rotation = Rotation.from_euler("xyz", [0.1, np.pi + 0.05, 0.02]).as_matrix()
    screen = Screen(rotation, np.array([260.0, 20, 5]), np.array([0.27, 0.27]))
    eye = np.array([10.0, -30, 600])
    place = np.array([400.0, 300])
    np.testing.assert_allclose(screen.point(eye, screen.target(place) - eye), place, atol=1e-6)
    with pytest.raises(InputError, match="away from it"):
        screen.point(eye, eye - screen.target(place))


@pytest.mark.parametrize("seed", range(3))
def test_rendered_faces_through_a_turned_camera(seed: int) -> None:
    """A marked pixel of the photo lands where the normalized landmarks say; angles are the renderer's."""
    rng = np.random.default_rng(seed)
    head, scene = build_head(sample_person(rng)), sample_scene(rng)
    turn = Rotation.from_euler("xyz", rng.uniform(-0.2, 0.2, 3)).as_matrix()
    camera = Camera(np.array([[900.0, 0, 500], [0, 900, 400], [0, 0, 1]]), np.zeros(0))
    center = turn @ np.array([0, 0, 600.0])
    view = view_face(camera, turn @ scene.rotation, center, Target())
    np.testing.assert_allclose(view.gaze_at(turn @ scene.rotation @ scene.target + center), scene.gaze, atol=1e-6)
    np.testing.assert_allclose(view.head, scene.head_pose, atol=1e-6)
    known = project_landmarks(head, scene, 224)  # continuous positions with the same principal point
    rays = np.concatenate([(known - 112) / 960, np.ones((len(known), 1))], 1) @ turn.T
    seen = camera.project(rays)
    np.testing.assert_allclose(view.landmarks(camera, seen), known, atol=0.01)
    photo = np.zeros((800, 1000, 3), np.uint8)
    column, row = seen[30].round().astype(int)
    photo[row, column] = 255
    patch = warp_image(photo, camera, view, Target())
    bright = np.argwhere(patch[..., 0] > 60)
    mark = view.landmarks(camera, np.array([[column, row]], float))[0]
    np.testing.assert_allclose(bright.mean(0)[::-1], mark, atol=1.0)


def test_impossible_views_are_refused() -> None:
    camera = Camera(np.diag([500.0, 500, 1]), np.zeros(0))
    with pytest.raises(InputError, match="in front of the camera"):
        view_face(camera, np.eye(3), np.array([0, 0, -300.0]), Target())
    sideways = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
    with pytest.raises(InputError, match="parallel"):
        view_face(camera, sideways, np.array([0, 0, 300.0]), Target())
    with pytest.raises(InputError, match="as many landmarks"):
        solve_pose(camera, np.zeros((5, 2)), MODEL)
