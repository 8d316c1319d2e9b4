"""A window with the annotated frames, where opencv has windows."""

from __future__ import annotations

import os
import sys
from types import TracebackType

import numpy as np

from gazenas.errors import InputError
from gazenas.faces.frame import Pixels

QUIT = (ord("q"), 27)  # keys: q, Esc
LONGEST, STEP = 1600, 50  # pixels of a shown frame's longer side, milliseconds between two looks for a closed window
PAGE = "gazenas collect FOLDER --model NAME shows a webcam's live gaze in a browser, without opencv's windows"


class FrameWindow:
    """Shows frames, until q, Esc or its closing.

    Args:
        title: of the window.

    Raises:
        InputError: where opencv has no windows here, or there is no screen for them.
    """

    def __init__(self, title: str) -> None:
        _check_windows()
        self._title = title

    def __enter__(self) -> FrameWindow:
        import cv2

        cv2.namedWindow(self._title, cv2.WINDOW_AUTOSIZE)
        return self

    def show(self, pixels: Pixels, *, stays: bool) -> bool:
        """Shows a frame; whether to go on.

        Args:
            pixels: ``(H, W, 3)`` RGB.
            stays: whether until a key is pressed.
        """
        import cv2

        factor = min(1.0, LONGEST / max(pixels.shape[:2]))
        shown = np.ascontiguousarray(pixels[..., ::-1])
        if factor < 1:
            shown = cv2.resize(shown, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        cv2.imshow(self._title, shown)
        key = cv2.waitKey(STEP if stays else 1)
        while stays and key < 0 and self._open():
            key = cv2.waitKey(STEP)
        return key & 0xFF not in QUIT and self._open()

    def _open(self) -> bool:
        import cv2

        return bool(cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import cv2

        if self._open():
            cv2.destroyWindow(self._title)


def _check_windows() -> None:
    """Whether there can be a window; opencv's own end the process where there is no screen.

    Raises:
        InputError: where there can be none.
    """
    try:
        import cv2
    except ModuleNotFoundError:
        raise InputError(f"--show: expected opencv, found none: pip install opencv-python; or {PAGE}") from None
    if not cv2.currentUIFramework():
        raise InputError(
            "--show: expected an opencv with windows, found one without, as opencv-python-headless is: "
            f"pip uninstall opencv-python-headless, then pip install opencv-python; or {PAGE}"
        )
    named = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not named:
        raise InputError(f"--show: expected a screen, found neither DISPLAY nor WAYLAND_DISPLAY; or {PAGE}")
