"""Rendered infrared eyes: labels against brute force and against the picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.data.synthetic.generation import generate
from gazenas.data.synthetic.near_eye import (
    NearEye,
    NearView,
    glint_points,
    lights,
    near_camera,
    near_eye_landmarks,
    optical_axis,
    pupil_ellipse,
    render_near_eye,
    sample_near_eye,
    sample_view,
)
from gazenas.errors import InputError
from gazenas.tasks import TASKS

SIZE = 200


@pytest.fixture(params=range(4))
def eye(request: pytest.FixtureRequest) -> tuple[NearEye, NearView]:
    rng = np.random.default_rng(request.param)
    person, view = sample_near_eye(rng), sample_view(rng)
    return person, replace(view, gaze=(view.gaze[0] / 2, view.gaze[1] / 2), opening=1.1, noise=0.0, blur=0.0)


def test_the_pupil_is_the_image_of_its_rim(eye: tuple[NearEye, NearView]) -> None:
    person, view = eye
    camera = near_camera(person, view, SIZE)
    axis = optical_axis(view)
    first = np.cross([0.0, 1, 0], axis)
    first /= np.linalg.norm(first)
    turn = np.linspace(0, 2 * np.pi, 400)[:, None]
    depth = np.sqrt(person.eye_radius**2 - person.iris_radius**2)
    rim = depth * axis + view.pupil * (np.cos(turn) * first + np.sin(turn) * np.cross(axis, first))
    seen = camera.project(rim)
    x, y, width, height, slant = pupil_ellipse(person, view, camera)
    np.testing.assert_allclose([x - width, x + width], [seen[:, 0].min(), seen[:, 0].max()], atol=0.01)
    np.testing.assert_allclose([y - height, y + height], [seen[:, 1].min(), seen[:, 1].max()], atol=0.01)
    across = slant * np.sqrt(width * height)
    off = seen - [x, y]
    inside = np.linalg.inv(np.array([[width**2, across], [across, height**2]]))
    np.testing.assert_allclose(np.einsum("ni,ij,nj->n", off, inside, off), 1, atol=1e-8)


def test_light_takes_the_shortest_way_over_a_glint(eye: tuple[NearEye, NearView]) -> None:
    """Fermat: of all points of the cornea nearby, a mirror image lies where the way is shortest."""
    person, view = eye
    camera = near_camera(person, view, SIZE)
    center = person.cornea_depth * optical_axis(view)

    def ways(points: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        to_light = np.linalg.norm(points - lights(person, view), axis=1)
        way: np.ndarray = to_light + np.linalg.norm(points - camera.position, axis=1)  # type: ignore[type-arg]
        return way

    found = glint_points(person, view, camera)
    np.testing.assert_allclose(np.linalg.norm(found - center, axis=1), person.cornea_radius, rtol=1e-9)
    rng = np.random.default_rng(0)
    for _ in range(20):
        near = found + rng.normal(0, 0.01, found.shape)
        near = center + person.cornea_radius * (near - center) / np.linalg.norm(near - center, axis=1, keepdims=True)
        assert (ways(near) > ways(found) - 1e-12).all()


def test_the_picture_shows_what_labels_say(eye: tuple[NearEye, NearView]) -> None:
    person, view = eye
    image = render_near_eye(person, replace(view, exposure=1.0), SIZE).astype(float)
    labels = near_eye_landmarks(person, view, SIZE)
    x, y = labels[:2]
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    dark = (image < 25) & (np.hypot(columns - x, rows - y) < 1.5 * labels[2:4].max())
    # The pupil's pixels that no glint covers lie around its middle, within its width.
    assert dark.sum() > 50
    assert abs(columns[dark].mean() - x) < 0.35 * labels[2]
    assert abs(rows[dark].mean() - y) < 0.35 * labels[3]
    shown = [(gx, gy) for gx, gy in labels[5:].reshape(-1, 2) if np.hypot(gx - x, gy - y) < 1.3 * labels[2:4].max()]
    lit = [image[int(gy) - 1 : int(gy) + 2, int(gx) - 1 : int(gx) + 2].max() for gx, gy in shown]
    assert np.mean(np.array(lit) > 150) > 0.6  # the others are behind a lid


def test_a_folder_of_eyes(tmp_path: Path) -> None:
    generate(tmp_path, subjects=3, per_subject=4, size=32, seed=0, workers=1, view="near-eye")
    with h5py.File(tmp_path / "train" / "subject0000.h5") as file:
        assert file["face_patch"].shape == (4, 32, 32, 1)
        stored = file["eye_landmarks"][()]
    task = TASKS["eye_landmarks"]
    opened = open_data(tmp_path, Reading(needs=task.keys))
    images = opened.split("train").images(np.arange(4))
    assert images.shape == (4, 32, 32, 3)
    assert (images == images[..., :1]).all()
    np.testing.assert_array_equal(task.need(opened.split("train"), ""), stored)
    larger = open_data(tmp_path, Reading(size=64, needs=task.keys))
    np.testing.assert_allclose(task.need(larger.split("train"), ""), 2 * stored, rtol=1e-6)
    with pytest.raises(InputError, match=r"lacks the key face_gaze.*has: cam_index, eye_landmarks"):
        open_data(tmp_path)
    with pytest.raises(InputError, match=r"task gaze needs face_gaze, found eye_landmarks"):
        opened.expect_labels(TASKS["gaze"], ["train"])
    assert opened.fingerprint == larger.fingerprint != _other(tmp_path / "other")


def _other(folder: Path) -> str:
    """The fingerprint of as many people drawn by another seed."""
    generate(folder, subjects=3, per_subject=4, size=32, seed=1, workers=1, view="near-eye")
    return open_data(folder, Reading(needs=("eye_landmarks",))).fingerprint


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"view": "eye"}, "--view: expected one of face, near-eye, screen, found 'eye'"),
        ({"view": "near-eye", "roll": 10.0}, "--roll: turns heads"),
        ({"roll": 120.0}, "--roll: expected degrees from 0 to 90"),
    ],
)
def test_what_cannot_be_rendered(tmp_path: Path, words: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        generate(tmp_path, subjects=3, per_subject=1, size=16, seed=0, workers=1, **words)  # type: ignore[arg-type]
