"""The one convention of gaze, in numpy and in torch."""

import numpy as np
import pytest
import torch

from gazenas.gaze import angles_to_vectors, angular_error, vectors_to_angles


def test_stated_directions() -> None:
    eighth = np.pi / 4
    looks = {
        (0, 0): (0, 0, -1),
        (eighth, 0): (0, -1, -1),
        (-eighth, 0): (0, 1, -1),
        (0, eighth): (-1, 0, -1),
        (0, -eighth): (1, 0, -1),
    }
    for angles, direction in looks.items():
        expected = np.array(direction) / np.linalg.norm(direction)
        np.testing.assert_allclose(angles_to_vectors(np.array(angles, float)), expected, atol=1e-12)


def test_angles_and_vectors_are_inverse() -> None:
    angles = np.random.default_rng(0).uniform((-1.5, -3.1), (1.5, 3.1), (500, 2))
    np.testing.assert_allclose(vectors_to_angles(3.0 * angles_to_vectors(angles)), angles, atol=1e-12)


def test_error_is_exact_at_both_ends() -> None:
    vectors = angles_to_vectors(np.random.default_rng(0).uniform(-1.5, 1.5, (200, 2)))
    assert angular_error(vectors, vectors).max() < 1e-6
    np.testing.assert_allclose(angular_error(vectors, -vectors), 180, atol=1e-6)


@pytest.mark.parametrize("degrees", [1e-5, 1e-3, 1.0, 89.0, 179.999])
def test_error_of_a_known_rotation(degrees: float) -> None:
    angles = np.array([[0.0, 0.0], [0.0, np.deg2rad(degrees)]])
    np.testing.assert_allclose(angular_error(angles[:1], angles[1:]), degrees, rtol=1e-6)


def test_torch_answers_in_torch_and_agrees() -> None:
    a, b = np.random.default_rng(1).uniform(-1, 1, (2, 50, 2))
    found = angular_error(torch.from_numpy(a), torch.from_numpy(b))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), angular_error(a, b), rtol=1e-9)


def test_wrong_shape_says_what_was_found() -> None:
    with pytest.raises(
        ValueError, match=r"prediction: expected \(N, 2\) angles or \(N, 3\) vectors, found shape \(4, 5\)"
    ):
        angular_error(np.zeros((4, 5)), np.zeros((4, 2)))
