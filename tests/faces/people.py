"""What tests of faces share: faces of known pose, finders and networks that answer what is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gazenas.data.normalization.cameras import assume_camera
from gazenas.data.normalization.geometry import Camera
from gazenas.faces.face import NEW, Face, box_around
from gazenas.faces.face_models import FACE_MODELS, FaceModel

SIX = FACE_MODELS["mediapipe6"]
Array = NDArray[Any]


def head_at(
    x: float = 0.0, y: float = 0.0, z: float = 600.0, turn: Sequence[float] = (0.0, 0.0, 0.0)
) -> tuple[Array, Array]:
    """Rotation and translation of a head whose face center of ``SIX`` is at a point."""
    rotation = Rotation.from_euler("xyz", turn).as_matrix()
    return rotation, np.array([x, y, z]) - SIX.center(rotation, np.zeros(3))


def face_at(camera: Camera, rotation: Array, translation: Array, id: int = NEW, model: FaceModel = SIX) -> Face:
    """The face of a head, its landmarks where they are seen."""
    landmarks = camera.project(model.frame_points @ rotation.T + translation)
    return Face(box_around(landmarks), 1.0, landmarks, id=id)


class Known:
    """A finder that finds the same faces in every image."""

    face_model = SIX

    def __init__(self, *faces: Face) -> None:
        self.faces = faces

    def __call__(self, image: Array, before: Sequence[Face]) -> list[Face]:
        return list(self.faces)


class OneFace(Known):
    """A finder by ``tests.faces.people:OneFace``: one face in the middle of every image that is large enough."""

    def __call__(self, image: Array, before: Sequence[Face]) -> list[Face]:
        height, width = image.shape[:2]
        return [face_at(assume_camera(width, height), *head_at(z=700.0))] if min(height, width) >= 32 else []


class InBox(OneFace):
    """A finder that can be told where the face is: in boxes about the middle of the image."""

    def within(self, image: Array, box: Array) -> Face | None:
        middle = np.array([image.shape[1], image.shape[0]]) / 2
        return self(image, ())[0] if (np.abs(box[:2] + box[2:] / 2 - middle) < 10).all() else None


class Says:
    """A network that gives the same angles for every patch, and remembers what it was asked with."""

    def __init__(self, *angles: float, size: int = 32, metadata: Mapping[str, str] | None = None) -> None:
        self.angles, self.input_size, self.metadata = np.array(angles, np.float32), size, dict(metadata or {})
        self.patches: list[Array] = []

    def __call__(self, faces: Array, /) -> NDArray[np.float32]:
        self.patches.append(faces)
        return np.tile(self.angles, (len(faces), 1))


def write_landmarks(path: Path, rows: Sequence[tuple[str, Face]]) -> None:
    """A CSV file that ``--landmarks`` takes, by source."""
    count = len(rows[0][1].landmarks)
    titles = ["source", "face", *(f"{axis}{number}" for number in range(count) for axis in "xy")]
    lines = [",".join(titles)]
    for source, face in rows:
        lines.append(",".join([source, str(max(0, face.id)), *(f"{value:.4f}" for value in face.landmarks.ravel())]))
    path.write_text("\n".join(lines) + "\n")
