"""Screens: typed ones meet rays where geometry says, solved ones are nearer the truth than the guess."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gazenas.data.normalization.cameras import assume_camera
from gazenas.data.normalization.geometry import Target, view_face
from gazenas.errors import InputError
from gazenas.faces.screen import (
    Look,
    PlacedScreen,
    errors_mm,
    guess_screen,
    held_out_errors,
    middle_errors,
    read_screen,
    solve_screen,
    write_screen,
)

SIZE, PIXELS = (531.0, 299.0), (1920, 1080)
GUESS = guess_screen(SIZE, PIXELS, (0.0, 10.0, 0.0), 0.0)


def looks_at(
    screen: PlacedScreen, seed: int, *, noise: float = 0.0, bias: tuple[float, float] = (0.0, 0.0)
) -> list[Look]:
    """Three looks at each of nine dots; ``noise`` and ``bias`` in degrees."""
    rng = np.random.default_rng(seed)
    looks = []
    for x in (96.0, 960.0, 1824.0):
        for y in (54.0, 540.0, 1026.0):
            for _ in range(3):
                origin = np.array([*rng.normal(0, 30, 2), 600 + rng.normal(0, 40)])
                head = Rotation.from_euler("xyz", rng.normal(0, 0.15, 3)).as_matrix()
                view = view_face(assume_camera(640, 480), head, origin, Target())
                true = view.gaze_at(screen.screen.target(np.array([x, y])))
                angles = true - np.radians(bias) + np.radians(noise) * rng.normal(0, 1, 2)
                looks.append(Look(origin, view.rotation, angles, np.array([x, y])))
    return looks


def test_a_typed_screen_is_where_it_was_said_to_be() -> None:
    """Who looks into the camera looks at the middle above the top edge; the person's right is the screen's right."""
    origin = np.array([0.0, 0.0, 600.0])
    assert GUESS.screen.point(origin, np.array([0, 0, -1.0])) == pytest.approx([960, -10 * 1080 / 299])
    right = GUESS.screen.point(
        origin, np.array([-100.0, 100.0, -600.0])
    )  # a camera sees the person's right at its left
    assert right == pytest.approx([960 + 100 * 1920 / 531, 90 * 1080 / 299])
    tilted = guess_screen(SIZE, PIXELS, (0.0, 0.0, 0.0), np.radians(20))
    top, bottom = (tilted.screen.target(np.array([960.0, y])) for y in (0, 1080))
    assert top[2] < bottom[2]  # the upper edge is farther from the person, who is in front of the camera
    assert bottom[2] - top[2] == pytest.approx(299 * np.sin(np.radians(20)))
    aside = guess_screen(SIZE, PIXELS, (50.0, 0.0, -30.0), 0.0)
    assert aside.screen.target(np.array([960.0, 0.0])) == pytest.approx([-50, 0, -30])


def test_perfect_looks_are_met() -> None:
    looks = looks_at(GUESS, 0)
    assert errors_mm(GUESS, looks).max() < 1e-6
    assert errors_mm(solve_screen(GUESS, looks), looks).max() < 0.1
    assert held_out_errors(GUESS, looks).max() < 0.2


@pytest.mark.parametrize("seed", range(3))
def test_a_solved_screen_is_nearer_than_the_guess(seed: int) -> None:
    true = guess_screen(SIZE, PIXELS, (20.0, 25.0, -10.0), np.radians(12))
    looks = looks_at(true, seed, noise=1.0, bias=(3.0, -2.0))
    solved = solve_screen(GUESS, looks)
    left_out = held_out_errors(GUESS, looks).mean()
    assert left_out < 0.5 * errors_mm(GUESS, looks).mean()
    assert left_out < 0.2 * middle_errors(GUESS, looks).mean()
    assert np.rad2deg(solved.bias) == pytest.approx([3, -2], abs=2.0)
    apart = Rotation.from_matrix(solved.screen.rotation.T @ true.screen.rotation).magnitude()
    assert np.rad2deg(apart) < 12  # that of the guess
    assert np.linalg.norm(solved.screen.translation - true.screen.translation) < 40


def test_one_dot_that_was_missed_moves_little() -> None:
    looks = looks_at(GUESS, 1, noise=0.5)
    wrong = [*looks[:-3], *(Look(look.origin, look.rotation, -look.angles, look.dot) for look in looks[-3:])]
    off = errors_mm(solve_screen(GUESS, wrong), looks[:-3]).mean()
    assert off < 5 * errors_mm(solve_screen(GUESS, looks), looks[:-3]).mean() + 30


def test_looks_away_from_the_screen_are_infinitely_off() -> None:
    look = looks_at(GUESS, 0)[0]
    away = Look(look.origin, look.rotation, np.array([0.0, 3.0]), look.dot)
    assert errors_mm(GUESS, [away])[0] == np.inf


def test_too_few_dots() -> None:
    with pytest.raises(InputError, match="4 dots or more, found 3"):
        held_out_errors(GUESS, looks_at(GUESS, 0)[:9])


def test_files(tmp_path: Path) -> None:
    placed = PlacedScreen(GUESS.screen, PIXELS, np.array([0.1, -0.2]))
    write_screen(tmp_path / "screen.json", placed, {"known_from": "typed"})
    read = read_screen(tmp_path / "screen.json")
    np.testing.assert_allclose(read.screen.rotation, GUESS.screen.rotation)
    np.testing.assert_allclose(read.bias, placed.bias)
    assert read.pixels == PIXELS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "expected JSON"),
        ("{}", "rotation"),
        (
            '{"rotation": [[1,0,0],[0,1,0],[0,0,-1]], "translation": [0,0,0], "pixel": [1,1], "pixels": [9,9]}',
            "a rotation",
        ),
        ('{"rotation": [[1,0,0],[0,1,0],[0,0,1]], "translation": [0,0,0], "pixel": [0,1], "pixels": [9,9]}', "above 0"),
        (
            '{"rotation": [[1,0,0],[0,1,0],[0,0,1]], "translation": [0,0], "pixel": [1,1], "pixels": [9,9]}',
            "translation",
        ),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "screen.json").write_text(text)
    with pytest.raises(InputError, match=said):
        read_screen(tmp_path / "screen.json")
