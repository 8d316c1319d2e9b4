"""Normalization against the data set authors' numbers, against rays traced one by one, and there and back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from scipy import ndimage
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from gazenas.data.normalization.cameras import assume_camera, film_focal_of
from gazenas.data.normalization.geometry import Camera, Screen, Target, face_center, view_face
from gazenas.data.normalization.patch import sample_square, warp_image
from gazenas.data.normalization.pose import solve_pose
from gazenas.data.synthetic.head import build_head
from gazenas.data.synthetic.landmarks import project_landmarks
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.photography import Sitter, photograph
from gazenas.data.synthetic.rendering import render
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


@pytest.mark.parametrize("seed", range(6))
def test_the_pose_is_the_least_squares_one(seed: int) -> None:
    """Many noisy points with weights, seen through a lens, against scipy from the true pose."""
    camera, rotation, translation, _ = random_case(seed)
    rng = np.random.default_rng(seed)
    model, weights = rng.uniform(-60, 60, (33, 3)), rng.uniform(0.1, 2, 33)
    seen = camera.project(model @ rotation.T + translation) + rng.normal(0, 1, (33, 2))

    def residuals(pose: Any) -> Any:
        points = Rotation.from_rotvec(pose[:3]).apply(model) + pose[3:]
        return ((camera.project(points) - seen) * np.sqrt(weights)[:, None]).ravel()

    begin = np.concatenate([Rotation.from_matrix(rotation).as_rotvec(), translation])
    best = least_squares(residuals, begin, xtol=1e-14, ftol=1e-14, x_scale=[0.1] * 3 + [10] * 3).x
    found, moved = solve_pose(camera, seen, model, weights=weights)
    apart = Rotation.from_matrix(found.T) * Rotation.from_rotvec(best[:3])
    assert np.rad2deg(apart.magnitude()) < 1e-3
    np.testing.assert_allclose(moved, best[3:], atol=0.01)


def test_landmarks_of_nothing_are_refused() -> None:
    camera = Camera(np.diag([500.0, 500, 1]), np.zeros(0))
    for landmarks in (np.full((6, 2), 50.0), np.full((6, 2), np.nan), np.arange(12.0).reshape(6, 2) * 1e8):
        with pytest.raises(InputError, match="expected"):
            solve_pose(camera, landmarks, MODEL)


def by_hand(photo: Any, matrix: Any, size: int) -> Any:
    """Bilinear, position by position."""
    across, down = np.meshgrid(np.arange(size), np.arange(size))
    there = np.stack([across.ravel(), down.ravel(), np.ones(size * size)], 1) @ matrix.T
    x, y = (there[:, :2] / there[:, 2:]).T
    channels = [ndimage.map_coordinates(photo[..., c].astype(float), [y, x], order=1) for c in range(3)]
    return np.stack(channels, -1).reshape(size, size, 3)


@pytest.mark.parametrize("seed", range(4))
def test_a_patch_that_does_not_shrink_is_bilinear(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photo = ndimage.zoom(rng.integers(0, 256, (14, 18, 3)), (10, 10, 1), order=1).astype(np.uint8)
    matrix = np.array([[0.6, -0.2, 40], [0.15, 0.7, 30], [2e-4, 1e-4, 1.0]])
    found = sample_square(photo, matrix, 100).astype(float)
    assert np.abs(found - by_hand(photo, matrix, 100)).max() < 1.01  # Pillow rounds down


@pytest.mark.parametrize("seed", range(4))
def test_a_lens_is_followed(seed: int) -> None:
    """Against bilinear sampling where each position's own ray meets the sensor."""
    rng = np.random.default_rng(seed)
    camera, rotation, translation, _ = random_case(seed)
    camera = Camera(np.array([[400.0, 0, 330], [0, 400, 250], [0, 0, 1]]), camera.distortion)
    target = Target(70, 500, 600)
    view = view_face(camera, rotation, translation, target)
    photo = ndimage.zoom(rng.integers(0, 256, (26, 34, 3)), (20, 20, 1), order=1).astype(np.uint8)
    across, down = np.meshgrid(np.arange(70), np.arange(70))
    there = np.stack([across.ravel(), down.ravel(), np.ones(4900)], 1) @ np.linalg.inv(view.warp).T
    x, y = camera.project(there @ np.linalg.inv(camera.matrix).T).T
    channels = [ndimage.map_coordinates(photo[..., c].astype(float), [y, x], order=1) for c in range(3)]
    inside = (x > 1) & (y > 1) & (x < 678) & (y < 518)
    apart = np.abs(warp_image(photo, camera, view, target).reshape(-1, 3) - np.stack(channels, -1))[inside]
    assert inside.sum() > 1000
    assert apart.max() < 3
    assert apart.mean() < 0.6


@pytest.mark.parametrize("bends", [[], [1e-9, 0, 0, 0]])
def test_a_patch_that_shrinks_averages(bends: list[float]) -> None:
    """Stripes finer than a pixel of the patch become gray; a slow ramp keeps its values and its place."""
    camera = Camera(np.array([[1000.0, 0, 400], [0, 1000, 400], [0, 0, 1]]), np.array(bends))
    view = view_face(camera, np.eye(3), np.array([0, 0, 600.0]), Target(32, 960 * 32 / 224, 600))
    photo = np.zeros((800, 800, 3), np.uint8)
    photo[:, ::2] = 255
    patch = warp_image(photo, camera, view, Target(32, 960 * 32 / 224, 600)).astype(float)
    assert np.abs(patch - 127.5).max() < 25
    ramp = np.repeat(np.linspace(0, 255, 800).round().astype(np.uint8)[None, :, None], 800, 0).repeat(3, 2)
    patch = warp_image(ramp, camera, view, Target(32, 960 * 32 / 224, 600)).astype(float)
    across = (np.arange(32) - 16) / (960 * 32 / 224) * 1000 + 400
    assert np.abs(patch[16, :, 0] - across * 255 / 799).max() < 1.0


def test_patches_beside_the_image_are_black() -> None:
    photo = np.full((50, 60, 3), 200, np.uint8)
    assert not sample_square(photo, np.array([[1.0, 0, 500], [0, 1, 0], [0, 0, 1]]), 20).any()
    half = sample_square(photo, np.array([[1.0, 0, 50], [0, 1, 10], [0, 0, 1]]), 20)
    assert (half[:, :10] == 200).all()
    assert not half[:, 11:].any()
    with pytest.raises(InputError, match="before the camera"):
        sample_square(photo, np.array([[1.0, 0, 0], [0, 1, 0], [-0.2, 0, 1]]), 20)


def test_a_very_large_face_is_reduced_first() -> None:
    photo = np.full((3000, 3000, 3), 7, np.uint8)
    assert (sample_square(photo, np.array([[90.0, 0, 50], [0, 90, 50], [0, 0, 1]]), 32) == 7).all()


def test_assumed_cameras() -> None:
    """A 50-mm lens sees 39.6 degrees along the long side of 36 x 24 mm; without a lens, 53 degrees."""
    camera = assume_camera(1500, 1000, 50.0)
    assert np.rad2deg(2 * np.arctan(750 / camera.matrix[0, 0])) == pytest.approx(39.6, abs=0.1)
    assert np.rad2deg(2 * np.arctan(750 / assume_camera(1500, 1000).matrix[0, 0])) == pytest.approx(53.1, abs=0.1)
    np.testing.assert_allclose(camera.rays(np.array([[749.5, 499.5]])), [[0, 0, 1]])


@pytest.mark.parametrize("value", [50, 50.0, None, "wide", 0, -3])
def test_lenses_out_of_exif(value: Any) -> None:
    exif, picture = Image.Exif(), Image.new("RGB", (4, 4))
    if value is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = value
    picture.getexif().update(exif)
    picture.getexif().get_ifd(ExifTags.IFD.Exif).update(exif.get_ifd(ExifTags.IFD.Exif))
    assert film_focal_of(picture) == (50 if value in (50, 50.0) else 0)


@pytest.mark.parametrize("distance", [450.0, 1500.0])
def test_photographed_people_are_rendered_ones(distance: float) -> None:
    """The true normalized view of a photo is the picture that the renderer makes of the same scene."""
    rng = np.random.default_rng(2)
    head, scene = build_head(sample_person(rng)), sample_scene(rng)
    scene = replace(scene, noise=0.0, blur=0.0, exposure=1.0, background=np.full((2, 2, 3), 0.35, np.float32))
    camera = assume_camera(800, 600)
    sitter = Sitter(head, scene, np.array([60.0, -40, distance]), 0.2)
    photo, (truth,) = photograph([sitter], camera, 800, 600)
    small = Target(48, 960 * 48 / 224, 600)
    view = view_face(camera, truth.rotation, sitter.center, small)
    # The renderer's positions begin at the corner of the first pixel, a camera's in its middle.
    shifted = np.linalg.inv(view.warp) @ np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    patch = sample_square(photo, shifted, 48).astype(float)
    rendered = render(head, scene, 48).astype(float)
    apart = np.abs(patch - rendered)[2:-2, 2:-2].mean()
    for axis in (0, 1):
        for step in (-1, 1):
            assert apart < 0.6 * np.abs(np.roll(patch, step, axis) - rendered)[2:-2, 2:-2].mean()
    np.testing.assert_allclose(truth.view.gaze(truth.direction), scene.gaze, atol=1e-9)
    np.testing.assert_allclose(truth.view.head, scene.head_pose, atol=1e-6)
    known = project_landmarks(head, scene, 224)
    np.testing.assert_allclose(truth.view.landmarks(camera, truth.landmarks), known, atol=0.01)
