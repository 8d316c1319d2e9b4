"""Iris geometry against eyes that were built to look somewhere."""

from __future__ import annotations

import numpy as np
import pytest

from gazenas.data.normalization.cameras import assume_camera
from gazenas.faces.face import Face
from gazenas.faces.iris import EYE_DEPTH, EYE_RADIUS, iris_gaze
from gazenas.gaze import angles_to_vectors, angular_error
from tests.faces.people import SIX, face_at, head_at


@pytest.mark.parametrize("seed", range(6))
def test_eyes_that_look_somewhere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    camera = assume_camera(1280, 720)
    rotation, translation = head_at(*rng.uniform(-150, 150, 2), rng.uniform(400, 900), rng.uniform(-0.3, 0.3, 3))
    looks = angles_to_vectors(rng.uniform(-0.3, 0.3, 2))
    corners = SIX.frame_points[:4] @ rotation.T + translation
    face = face_at(camera, rotation, translation)
    # The image's middle of two corners is not the projection of their middle; the method's own is used.
    middles = face.landmarks[:4].reshape(2, 2, 2).mean(1)
    centers = camera.rays(middles) * corners[:, 2].reshape(2, 2).mean(1)[:, None] + EYE_DEPTH * rotation[:, 2]
    irises = camera.project(centers + EYE_RADIUS * looks)
    found = iris_gaze(Face(face.box, 1.0, face.landmarks, irises), SIX, camera, rotation, translation)
    assert found is not None
    assert angular_error(found[None], looks[None])[0] < 1e-6


def test_irises_beside_the_eyeballs_give_the_nearest_direction() -> None:
    camera = assume_camera(640, 480)
    rotation, translation = head_at()
    face = face_at(camera, rotation, translation)
    far = face.landmarks[:4].reshape(2, 2, 2).mean(1) + np.array([60.0, 0])
    found = iris_gaze(Face(face.box, 1.0, face.landmarks, far), SIX, camera, rotation, translation)
    assert found is not None
    assert np.isfinite(found).all()
    assert found[0] > 0.9


def test_without_irises() -> None:
    camera = assume_camera(640, 480)
    assert iris_gaze(face_at(camera, *head_at()), SIX, camera, *head_at()) is None
