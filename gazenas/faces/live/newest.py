"""Gaze of the newest frame: frames that come faster than they can be looked at are left out, never queued."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gazenas.errors import InputError
from gazenas.faces.drawing import arrow_ends
from gazenas.faces.frame import Frame, Pixels
from gazenas.faces.live.storage import decode_picture
from gazenas.faces.predictor import FaceGaze, GazePredictor
from gazenas.faces.screen import PlacedScreen

Answer = dict[str, Any] | None
PATIENCE = 20.0  # seconds that an answer may take


@dataclass
class _Waiting:
    """A frame that was asked about."""

    pixels: Pixels
    came: float
    answer: Future[Answer] = field(default_factory=Future)


class LiveGaze:
    """Asks a predictor about frames one after another, in a thread of its own.

    Attributes:
        screen: where gazes are met; None where it is not known.

    Args:
        predictor: whose stream follows and smooths.
    """

    def __init__(self, predictor: GazePredictor) -> None:
        self.predictor = predictor
        self.screen: PlacedScreen | None = None
        self._next: _Waiting | None = None
        self._asked: _Waiting | None = None
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="gazenas-live", daemon=True)
        self._thread.start()

    def ask(self, data: bytes) -> Answer:
        """What is seen in a picture; None where a newer one came before it was looked at.

        Args:
            data: of a JPEG or PNG file.

        Raises:
            InputError: where the picture cannot be read, or the predictor refuses it.
        """
        began = time.perf_counter()
        pixels, _ = decode_picture(data)
        decoding = time.perf_counter() - began
        waiting = _Waiting(pixels, time.monotonic())
        with self._changed:
            if self._ended:
                raise InputError("expected live gaze that goes on, found it ended")
            if self._next is not None:
                self._next.answer.set_result(None)
            self._next = waiting
            self._changed.notify_all()
        answer = waiting.answer.result(PATIENCE)
        if answer is not None:
            answer["ms"] = round(answer["ms"] + 1000 * decoding, 2)
        return answer

    def close(self) -> None:
        """Ends the thread."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(PATIENCE)

    def _frames(self) -> Iterator[Frame]:
        """The newest frame, whenever there is another one."""
        number = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next is not None or self._ended)
                if self._ended:
                    return
                self._asked, self._next = self._next, None
            assert self._asked is not None, "waited for"
            self._began = time.perf_counter()
            yield Frame(self._asked.pixels, number, self._asked.came)
            number += 1

    def _work(self) -> None:
        while not self._ended:
            try:
                for faces in self.predictor.stream(self._frames()):
                    assert self._asked is not None, "an answer has a frame"
                    self._asked.answer.set_result(self._said(self._asked.pixels, faces))
            except Exception as error:  # whoever asked is told; the next frame begins a new stream
                if self._asked is None or self._asked.answer.done():
                    raise
                self._asked.answer.set_exception(error)
        for left in (self._next, self._asked):
            if left is not None and not left.answer.done():
                left.answer.set_result(None)

    def _said(self, pixels: Pixels, faces: list[FaceGaze]) -> Answer:
        """What the page draws: positions in shares of the picture's width and height, the screen's in pixels."""
        height, width = pixels.shape[:2]
        size = np.array([width, height], np.float64)
        camera = self.predictor.camera_of(Frame(pixels))
        found = []
        for face in faces:
            low, high = face.face.box[:2], face.face.box[:2] + face.face.box[2:]
            shown: dict[str, Any] = {"id": face.face.id, "box": [*_rounded(low / size), *_rounded(high / size)]}
            if face.gaze is None:
                shown["reason"] = face.reason
            else:
                ends = arrow_ends(camera, face.gaze.view.center, face.gaze.direction)
                shown["arrow"] = None if ends is None else _rounded((ends / size).ravel())
                shown["angles"] = _rounded(np.rad2deg(face.gaze.angles))
                shown["distance"] = round(float(np.linalg.norm(face.gaze.view.center)))
                shown["screen"] = self._on_screen(face)
            found.append(shown)
        return {"faces": found, "ms": 1000 * (time.perf_counter() - self._began)}

    def _on_screen(self, face: FaceGaze) -> list[float] | None:
        if self.screen is None or face.gaze is None:
            return None
        try:
            return _rounded(self.screen.point(face.gaze.view.center, face.gaze.view.rotation, face.gaze.angles))
        except InputError:
            return None  # away from it


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) for value in np.asarray(values)]
