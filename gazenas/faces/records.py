"""Predictions as rows, and the folder that they are written into: a row a face and frame."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from PIL import Image

from gazenas.data.arrays import Floats
from gazenas.errors import InputError
from gazenas.faces.frame import Frame, Pixels
from gazenas.faces.predictor import FaceGaze, Gaze
from gazenas.faces.screen import PlacedScreen
from gazenas.files import safe_name, write_json

OK, NO_FACE, UNREADABLE = "ok", "no_face", "unreadable"
COLUMNS = (
    *("source", "frame", "time", "face", "status", "reason", "pitch", "yaw", "gaze_x", "gaze_y", "gaze_z"),
    *("origin_x", "origin_y", "origin_z", "distance", "head_pitch", "head_yaw"),
    *("head_rotation_x", "head_rotation_y", "head_rotation_z", "box_x", "box_y", "box_width", "box_height", "score"),
    *("confidence", "iris_pitch", "iris_yaw", "screen_x", "screen_y", "screen_x_mm", "screen_y_mm"),
)
Record = dict[str, Any]


def records_of(frame: Frame, answers: Sequence[FaceGaze], screen: PlacedScreen | None = None) -> list[Record]:
    """The rows of a frame: one a face, or a single one that says why there is none.

    Angles are radians in the normalized frame, lengths mm and directions unit vectors in the camera's frame (x right,
    y down, z forward), ``head_rotation`` is a rotation vector from the head frame to it, boxes are pixels, and
    ``screen`` pixels from its top left corner. What is not known is None, as where on the screen somebody looks who
    looks away from it.
    """
    base: Record = dict.fromkeys(COLUMNS) | {
        "source": frame.source,
        "frame": frame.number,
        "time": round(frame.time, 4),
        "reason": "",
    }
    if frame.image is None:
        return [base | {"status": UNREADABLE, "reason": frame.reason}]
    if not answers:
        return [base | {"status": NO_FACE}]
    return [base | _of_face(answer, screen) for answer in answers]


def _of_face(answer: FaceGaze, screen: PlacedScreen | None) -> Record:
    face, gaze = answer.face, answer.gaze
    found: Record = {"face": face.id, "score": round(face.score, 5)}
    found |= _numbers(("box_x", "box_y", "box_width", "box_height"), face.box, 2)
    if gaze is None:
        return found | {"status": NO_FACE, "reason": answer.reason}
    found |= {"status": OK, "distance": round(float(np.linalg.norm(gaze.view.center)), 2)}
    found |= _numbers(("pitch", "yaw"), gaze.angles) | _numbers(("gaze_x", "gaze_y", "gaze_z"), gaze.direction)
    found |= _numbers(("origin_x", "origin_y", "origin_z"), gaze.view.center, 2)
    found |= _numbers(("head_pitch", "head_yaw"), gaze.view.head)
    found |= _numbers(("head_rotation_x", "head_rotation_y", "head_rotation_z"), rotation_vector(gaze.head_rotation))
    if gaze.confidence is not None:
        found["confidence"] = round(gaze.confidence, 4)
    if gaze.iris is not None:
        found |= _numbers(("iris_pitch", "iris_yaw"), gaze.iris)
    return found if screen is None else found | _on_screen(gaze, screen)


def _on_screen(gaze: Gaze, screen: PlacedScreen) -> Record:
    try:
        point = screen.point(gaze.view.center, gaze.view.rotation, gaze.angles)
    except InputError:
        return {}  # away from it
    beside = _numbers(("screen_x", "screen_y"), point, 1)
    return beside | _numbers(("screen_x_mm", "screen_y_mm"), point * screen.screen.pixel, 1)


def _numbers(names: Sequence[str], values: Floats, digits: int = 6) -> Record:
    return {name: round(float(value), digits) for name, value in zip(names, values, strict=True)}


def rotation_vector(rotation: Floats) -> Floats:
    """``(3,)`` axis times angle in radians of a rotation ``(3, 3)`` by less than half a turn."""
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine = float(np.linalg.norm(axis)) / 2
    angle = float(np.arctan2(sine, (np.trace(rotation) - 1) / 2))
    vector: Floats = axis / 2 if sine < 1e-12 else axis / (2 * sine) * angle
    return vector


class PredictionFolder:
    """``predictions.csv``, ``predictions.jsonl``, ``summary.json`` and pictures or a film; all there once it is closed
    well, nothing of them where it is not.

    Args:
        path: made where absent.
        overwrite: whether a prediction in it may be replaced.

    Raises:
        InputError: where there is one that may not, or the path is a file.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        if path.exists() and not path.is_dir():
            raise InputError(f"--out: expected a folder, found the file {path}")
        if (path / "predictions.csv").exists() and not overwrite:
            raise InputError(f"--out: {path} holds a prediction: expected another folder, or --overwrite")
        self.path, self._made = path, not path.exists()
        self._stack = ExitStack()
        self._film: Any = None
        self._pictures: list[str] = []

    def __enter__(self) -> PredictionFolder:
        self.path.mkdir(parents=True, exist_ok=True)
        self._aside = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir=self.path, prefix=".part-")))
        self._csv = self._open("predictions.csv")
        self._jsonl = self._open("predictions.jsonl")
        self._writer = csv.DictWriter(self._csv, COLUMNS, lineterminator="\n")
        self._writer.writeheader()
        return self

    def _open(self, name: str) -> IO[str]:
        return self._stack.enter_context((self._aside / name).open("w", encoding="utf-8", newline=""))

    def write(self, records: Sequence[Record]) -> None:
        """Adds rows."""
        self._writer.writerows(records)
        for record in records:
            self._jsonl.write(json.dumps(record) + "\n")

    def draw_picture(self, pixels: Pixels, name: str) -> None:
        """Adds an annotated photo, as ``pictures/NAME.jpg``."""
        (self._aside / "pictures").mkdir(exist_ok=True)
        plain = safe_name(Path(name).stem)
        self._pictures.append(plain if plain not in self._pictures else safe_name(f"{name} {len(self._pictures)}"))
        Image.fromarray(pixels).save(self._aside / "pictures" / f"{self._pictures[-1]}.jpg", "JPEG", quality=92)

    def draw_frame(self, pixels: Pixels, fps: float) -> None:
        """Adds a frame to the annotated film, ``film.mp4``, whose size is the first one's."""
        import cv2

        if self._film is None:
            size = (pixels.shape[1], pixels.shape[0])
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._film = cv2.VideoWriter(str(self._aside / "film.mp4"), code, fps, size)
            if not self._film.isOpened():
                raise InputError("film.mp4: opencv cannot write films here: expected --no-draw, or another opencv")
        self._film.write(np.ascontiguousarray(pixels[..., ::-1]))

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Moves everything into place; call it last."""
        if self._film is not None:
            self._film.release()
            self._film = None
        for file in (self._csv, self._jsonl):
            file.close()
        write_json(self._aside / "summary.json", summary)
        for old in ("pictures", "film.mp4"):  # of a prediction that this one replaces
            there = self.path / old
            shutil.rmtree(there) if there.is_dir() else there.unlink(missing_ok=True)
        for part in sorted(self._aside.iterdir(), key=lambda each: each.name == "predictions.csv"):
            part.replace(self.path / part.name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._film is not None:
            self._film.release()
        self._stack.close()
        if self._made and not any(self.path.iterdir()):
            self.path.rmdir()
