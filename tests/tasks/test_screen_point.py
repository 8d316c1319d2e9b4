"""Points on a screen: what the gaze meets there, and what changed images do to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gazenas.data.synthetic.scene import DISTANCE, SCREEN, look_at_screen, sample_scene
from gazenas.gaze import angles_to_vectors, vectors_to_angles
from gazenas.tasks.gaze import roll_gaze
from gazenas.tasks.screen_point import mirror_point, point_error, point_loss, roll_point


def met(gaze: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Where gaze from the face's center meets the plane of the camera, mm."""
    x, y, z = angles_to_vectors(gaze)
    return np.array([x, y]) * DISTANCE / -z


@pytest.mark.parametrize("seed", range(5))
def test_gaze_meets_the_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene, point = look_at_screen(sample_scene(rng, roll=0.3), rng)
    np.testing.assert_allclose(met(scene.gaze), point, atol=1e-9)
    assert (np.abs(point) <= [SCREEN[0] / 2, SCREEN[1]]).all()
    np.testing.assert_allclose(met(scene.mirrored().gaze), mirror_point(torch.from_numpy(point)[None])[0], atol=1e-9)
    rolled = roll_gaze(torch.from_numpy(scene.gaze)[None], torch.tensor([0.4]))[0].numpy()
    found = roll_point(torch.from_numpy(point)[None], torch.tensor([0.4]))[0]
    np.testing.assert_allclose(met(rolled), found, rtol=1e-5, atol=1e-4)
    assert (np.abs(vectors_to_angles(scene.target)) < 0.6).all()
    assert replace(scene, roll=0.0).head_pose == scene.head_pose


def test_error_by_hand() -> None:
    guess, true = np.array([[3.0, 0], [1, 1]], np.float32), np.array([[0.0, 4], [1, 1]], np.float32)
    np.testing.assert_allclose(point_error(guess, true), [5, 0])
    assert float(point_loss(torch.from_numpy(guess), torch.from_numpy(true))) == pytest.approx(2.5, abs=1e-5)
