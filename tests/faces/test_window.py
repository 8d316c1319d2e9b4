"""A window with annotated frames, with an opencv that is stood in for; and what is said where there can be none."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from gazenas.errors import InputError
from gazenas.faces.window import LONGEST, FrameWindow
from tests.faces.windows import Screen

GRAY = np.full((60, 80, 3), 90, np.uint8)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    monkeypatch.setitem(sys.modules, "cv2", made)  # type: ignore[arg-type]
    monkeypatch.setenv("DISPLAY", ":0")
    return made


def test_frames_go_on_until_q_or_escape(screen: Screen) -> None:
    screen.keys = [-1, ord("x"), ord("q"), 27]
    with FrameWindow("gaze") as window:
        assert [window.show(GRAY, stays=False) for _ in range(4)] == [True, True, False, False]
    assert not screen.open
    assert len(screen.shown) == 4


def test_a_photo_stays_until_a_key_is_pressed_or_the_window_is_closed(screen: Screen) -> None:
    screen.keys = [-1, -1, -1, ord("n")]
    with FrameWindow("gaze") as window:
        assert window.show(GRAY, stays=True)
        assert screen.keys == []
        assert not window.show(GRAY, stays=True)


def test_colors_are_opencv_s_and_large_frames_fit(screen: Screen) -> None:
    screen.keys = [-1, -1]
    red = np.zeros((2 * LONGEST, 10, 3), np.uint8)
    red[..., 0] = 255
    with FrameWindow("gaze") as window:
        window.show(red, stays=False)
    (shown,) = screen.shown
    assert shown.shape == (LONGEST, 5, 3)
    assert (shown == [0, 0, 255]).all()


def test_where_there_can_be_no_window(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    screen.framework = ""
    with pytest.raises(InputError, match=r"pip install opencv-python; or gazenas collect"):
        FrameWindow("gaze")
    screen.framework = "QT"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(InputError, match="found neither DISPLAY nor WAYLAND_DISPLAY"):
        FrameWindow("gaze")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match="expected opencv, found none"):
        FrameWindow("gaze")


@pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="opencv is not installed")
def test_the_real_opencv_has_what_is_stood_in_for() -> None:
    import cv2

    names = {name for name in vars(Screen) if not name.startswith("_")}
    assert names <= set(dir(cv2))
