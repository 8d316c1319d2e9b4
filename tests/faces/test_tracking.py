"""Numbers stay with faces: while they move, cross, go away and come back."""

from __future__ import annotations

import numpy as np

from gazenas.faces.face import Face, overlap
from gazenas.faces.tracking import REMEMBERED, Tracker


def face(x: float, y: float = 0.0, side: float = 40.0, id: int = -1) -> Face:
    return Face(np.array([x, y, side, side]), 1.0, np.zeros((6, 2)), id=id)


def numbers(faces: list[Face]) -> list[int]:
    return [each.id for each in faces]


def test_overlap_by_counting_pixels() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        boxes = rng.integers(1, 30, (2, 4))
        drawn = np.zeros((2, 70, 70), bool)
        for mask, (left, top, wide, high) in zip(drawn, boxes, strict=True):
            mask[top : top + high, left : left + wide] = True
        assert np.isclose(overlap(*boxes.astype(float)), (drawn[0] & drawn[1]).sum() / (drawn[0] | drawn[1]).sum())


def test_moving_faces_keep_their_numbers_in_any_order() -> None:
    tracker = Tracker()
    assert numbers(tracker([face(0, 60), face(200)])) == [0, 1]
    for step in range(1, 40):  # they pass one another, one above the other
        assert numbers(tracker([face(200 - 5 * step), face(5 * step, 60)])) == [1, 0]


def test_the_nearest_takes_the_number() -> None:
    tracker = Tracker()
    tracker([face(0)])
    assert numbers(tracker([face(15), face(3)])) == [1, 0]


def test_a_face_that_was_away_is_known_for_a_while() -> None:
    tracker = Tracker()
    tracker([face(0)])
    for _ in range(REMEMBERED - 2):
        assert tracker([]) == []
    assert numbers(tracker([face(2)])) == [0]
    for _ in range(REMEMBERED + 1):
        tracker([])
    assert numbers(tracker([face(2)])) == [1]


def test_a_finder_s_numbers_win_and_are_never_given_again() -> None:
    tracker = Tracker()
    assert numbers(tracker([face(0, id=7), face(300)])) == [7, 8]
    assert numbers(tracker([face(300, id=7), face(0), face(600)])) == [7, 9, 10]
