"""The one-euro filter against its published scalar form, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest

from gazenas.faces.smoothing import MIN_CUTOFF, SLOPE, SPEED_CUTOFF, OneEuro
from gazenas.gaze import angles_to_vectors, angular_error


def published(values: list[float], rate: float) -> list[float]:
    """Casiez et al., algorithm 1, of a scalar."""

    def alpha(cutoff: float) -> float:
        tau, te = 1 / (2 * np.pi * cutoff), 1 / rate
        return 1 / (1 + tau / te)

    out, last, speed = [], values[0], 0.0
    for index, value in enumerate(values):
        if index:
            speed += alpha(SPEED_CUTOFF) * ((value - last) * rate - speed)
            last += alpha(MIN_CUTOFF + SLOPE * abs(speed)) * (value - last)
        out.append(last)
    return out


def test_small_turns_are_the_published_filter_s() -> None:
    rng = np.random.default_rng(0)
    yaw = 1e-4 * rng.standard_normal(60)
    smooth = OneEuro()
    found = [smooth(np.array([value, 0.0, -1.0]), index / 25)[0] for index, value in enumerate(yaw)]
    np.testing.assert_allclose(found, published(list(yaw), 25), atol=1e-9)


def test_noise_shrinks_and_a_jump_arrives() -> None:
    rng = np.random.default_rng(1)
    smooth = OneEuro()
    true = np.array([[0.1, -0.2]] * 60 + [[0.3, 0.5]] * 60)
    raw = angles_to_vectors(true + 0.03 * rng.standard_normal(true.shape))
    steady = np.stack([smooth(vector, index / 30) for index, vector in enumerate(raw)])
    np.testing.assert_allclose(np.linalg.norm(steady, axis=1), 1, atol=1e-12)
    for part in (slice(20, 60), slice(90, 120)):
        assert angular_error(steady[part], true[part]).mean() < 0.6 * angular_error(raw[part], true[part]).mean()


@pytest.mark.parametrize("passed", [0.0, -1.0, 1.5])
def test_begins_anew_where_time_does_not_go_on(passed: float) -> None:
    smooth = OneEuro()
    smooth(np.array([0.0, 0.0, -1.0]), 0.0)
    aside = angles_to_vectors(np.array([0.4, 0.4]))
    np.testing.assert_array_equal(smooth(aside, passed), aside)
