"""Confidence falls where answers move with the patch; the answers themselves are the network's."""

from __future__ import annotations

import numpy as np
import pytest

from gazenas.data.normalization.cameras import assume_camera
from gazenas.faces.confidence import HALF, PROBES, SHIFT, ask_with_confidence, moved_by
from gazenas.faces.predictor import GazePredictor
from gazenas.gaze import angular_error
from tests.faces.people import Array, Known, Says, face_at, head_at

SIZE = 100


class Slope:
    """Its yaw is how far the middle of what is bright is from the patch's, times a number."""

    input_size, metadata = SIZE, {}  # type: ignore[var-annotated]

    def __init__(self, radians: float) -> None:
        self.radians, self.asked = radians, 0

    def __call__(self, faces: Array, /) -> Array:
        self.asked += len(faces)
        lit = faces[..., 0] > 0
        middle = (lit.any(1).argmax(1) + SIZE - 1 - lit.any(1)[:, ::-1].argmax(1)) / 2
        return np.stack([0 * middle, self.radians * (middle - (SIZE - 1) / 2)], 1).astype(np.float32)


def patches() -> Array:
    made = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    made[:, 30:70, 30:70] = 255
    return made


def test_moved_is_numpy_s_roll_but_for_the_edges() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2, 9, 9, 3), dtype=np.uint8)
    for down, right in ((1, 2), (-2, 0), (0, -1)):
        rolled = np.roll(noise, (down, right), (1, 2))
        np.testing.assert_array_equal(moved_by(noise, down, right)[:, 2:-2, 2:-2], rolled[:, 2:-2, 2:-2])
    edge = moved_by(noise, 0, 2)
    np.testing.assert_array_equal(edge[:, :, 0], noise[:, :, 0])
    np.testing.assert_array_equal(edge[:, :, 1], noise[:, :, 0])


@pytest.mark.parametrize("radians", [0.0, 0.01, 0.1])
def test_confidence_is_by_the_mean_angle_between_answers(radians: float) -> None:
    """Each probe moves the middle of the patch by SHIFT of its side; the angle between the answers is the reference."""
    network = Slope(radians)
    angles, sure = ask_with_confidence(network, patches())
    np.testing.assert_allclose(angles, 0, atol=1e-6)
    assert network.asked == 2 * (1 + len(PROBES))
    apart = [abs(np.rad2deg(radians * SHIFT * SIZE * right)) for _, right in PROBES]
    np.testing.assert_allclose(sure, HALF / (HALF + np.mean(apart)), rtol=1e-4)


def test_a_network_that_answers_nothing_has_no_confidence_either() -> None:
    angles, sure = ask_with_confidence(Says(np.nan, 0.0, size=SIZE), patches())
    assert np.isnan(angles[:, 0]).all()
    assert np.isnan(sure).all()


def test_a_predictor_says_it_unless_it_is_not_to() -> None:
    camera, image = assume_camera(320, 240), np.full((240, 320, 3), 90, np.uint8)
    finder = Known(face_at(camera, *head_at()))
    for network, asked, wanted in ((Says(0.1, 0), 1 + len(PROBES), True), (Says(0.1, 0), 1, False)):
        (found,) = GazePredictor(network, finder=finder, camera=camera, confidence=wanted).image(image)
        assert found.gaze is not None
        assert found.gaze.confidence == (pytest.approx(1.0) if wanted else None)
        assert [len(each) for each in network.patches] == [asked]
        assert angular_error(found.gaze.angles, np.array([0.1, 0])) < 1e-3
