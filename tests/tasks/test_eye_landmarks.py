"""Pupil and glints: errors by hand, and what changed images do to labels, against the renderer itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gazenas.data.augmentation import Changes, augment
from gazenas.data.synthetic.near_eye import NearEye, NearView, near_eye_landmarks, sample_near_eye, sample_view
from gazenas.tasks.eye_landmarks import EYE_LANDMARKS, OUTPUTS, landmark_error, landmark_loss

SIDE = 100
MIRROR = np.array([-1.0, 1, 1])


@pytest.fixture
def eye() -> tuple[NearEye, NearView]:
    rng = np.random.default_rng(0)
    return sample_near_eye(rng), sample_view(rng)


def label(eye: tuple[NearEye, NearView]) -> torch.Tensor:
    return torch.from_numpy(near_eye_landmarks(*eye, SIDE))[None]


def changed(labels: torch.Tensor, **more: torch.Tensor) -> torch.Tensor:
    mirrored = more.pop("mirrored", torch.zeros(1, dtype=torch.bool))
    changes = Changes(mirrored, torch.ones(1), torch.zeros(1), **more)
    return augment(torch.zeros(1, 3, SIDE, SIDE), labels, changes, EYE_LANDMARKS)[1]


def outline(labels: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Points on the ellipse of ``(25,)`` labels."""
    x, y, width, height, slant = labels[:5]
    across = slant * np.sqrt(width * height)
    root = np.linalg.cholesky(np.array([[width**2, across], [across, height**2]]))
    turn = np.linspace(0, 2 * np.pi, 50)
    points: np.ndarray = np.array([x, y]) + (root @ [np.cos(turn), np.sin(turn)]).T  # type: ignore[type-arg]
    return points


def test_errors_by_hand() -> None:
    true = np.zeros((1, 25), np.float32)
    guess = true.copy()
    guess[0, :2] = 3, 4  # the pupil is 5 pixels off
    guess[0, 5:7] = 0, 20  # one glint of ten is 20 pixels off
    guess[0, 2] = 6  # the pupil's half width
    assert landmark_error(guess, true) == pytest.approx((5 + 2) / 2)
    measured = {name: each.error(guess, true) for name, each in EYE_LANDMARKS.measures.items()}
    assert measured == {"pupil": pytest.approx(5), "glints": pytest.approx(2), "pupil_shape": pytest.approx(2)}
    loss = landmark_loss(torch.from_numpy(guess), torch.from_numpy(true))
    assert float(loss) == pytest.approx(3.5 + 0.2 * 2, abs=1e-4)
    still = torch.zeros(1, 25, requires_grad=True)
    landmark_loss(still, torch.zeros(1, 25)).backward()  # type: ignore[no-untyped-call]
    assert still.grad is not None
    assert still.grad.isfinite().all()


def test_a_mirrored_image_is_of_the_mirrored_eye(eye: tuple[NearEye, NearView]) -> None:
    person, view = eye
    mirrored = replace(view, left=not view.left, gaze=(view.gaze[0], -view.gaze[1]), slip=view.slip * MIRROR)
    found = changed(label(eye), mirrored=torch.ones(1, dtype=torch.bool))
    torch.testing.assert_close(found, label((person, mirrored)), atol=1e-6, rtol=1e-6)


def test_roll_scale_and_shift_move_every_point_of_the_pupil(eye: tuple[NearEye, NearView]) -> None:
    roll, scale, shift = 0.3, 1.2, np.array([4.0, -7.0])
    found = changed(
        label(eye), roll=torch.tensor([roll]), scale=torch.tensor([scale]), shift=torch.from_numpy(shift)[None].float()
    )[0].numpy()
    before = label(eye)[0].numpy()
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])

    def moved(points: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        where: np.ndarray = (points - SIDE / 2) @ turn.T * scale + SIDE / 2 + shift[::-1]  # type: ignore[type-arg]
        return where

    np.testing.assert_allclose(found[5:].reshape(-1, 2), moved(before[5:].reshape(-1, 2)), atol=1e-4)
    # Every moved point of the old outline satisfies the equation of the new ellipse.
    x, y, width, height, slant = found[:5]
    across = slant * np.sqrt(width * height)
    off = moved(outline(before)) - [x, y]
    inside = np.linalg.inv(np.array([[width**2, across], [across, height**2]]))
    np.testing.assert_allclose(np.einsum("ni,ij,nj->n", off, inside, off), 1, atol=1e-4)


def test_names_of_outputs() -> None:
    assert len(OUTPUTS) == len(set(OUTPUTS)) == 25
