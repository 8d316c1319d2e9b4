"""Faces in 3-D: where the points lie that landmarks are seen of, in the head frame (x right, y down, z into it; mm).

Which model a face is normalized with decides where its center is and how far away it seems, so it belongs to what a
network was trained on: two models differ by a constant angle. A model is told from others by its name and fingerprint.

``MESH`` holds points of MediaPipe's canonical face and the weights of its Procrustes solver (Google, Apache-2.0; the
package @mediapipe/face_mesh 0.4.1657299874, ``geometry_pipeline_metadata_landmarks``), times (10, -10, -10).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.normalization.geometry import face_center
from gazenas.errors import InputError

XGAZE_ROWS = (20, 23, 26, 29, 15, 19)  # of ETH-XGaze's 50 points: four eye corners, two nose points


@dataclass(frozen=True)
class FaceModel:
    """Points of a face.

    Attributes:
        name: by which it is known.
        landmarks: how many a finder gives.
        indices: ``(n,)`` which of them the head's pose is solved from.
        points: ``(n, 3)`` where these lie.
        weights: ``(n,)`` of their squared distances.
        frame: indices of the four eye corners, from the image's left, and of two nose points, of which the face center
            is the middle.
        frame_points: ``(6, 3)`` where these lie.
    """

    name: str
    landmarks: int
    indices: tuple[int, ...]
    points: Floats
    weights: Floats
    frame: tuple[int, ...]
    frame_points: Floats

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits: the same for the same face center."""
        rounded = (np.rint(self.frame_points * 10) + 0.0).astype(np.int64)
        return hashlib.sha256(rounded.tobytes()).hexdigest()[:12]

    def center(self, rotation: Floats, translation: Floats) -> Floats:
        """``(3,)`` face center in the camera's frame."""
        return face_center(self.frame_points, rotation, translation)


# Landmark, weight, x, y, z; then those that have a mirror point, with its landmark behind them.
_MIDDLE = ((4, 0.0709, 0.0, 4.63, -75.87), (6, 0.0321, 0.0, -24.73, -57.89), (10, 0.0084, 0.0, -82.62, -44.82))
_PAIRS = (
    (33, 0.0587, -44.46, -26.64, -31.73, 263),
    (54, 0.0077, -62.79, -66.15, -14.26, 284),
    (67, 0.0091, -35.24, -80.06, -37.29, 297),
    (117, 0.0098, -52.59, -9.46, -29.74, 346),
    (119, 0.0146, -33.01, -8.62, -38.73, 348),
    (121, 0.0186, -18.21, -14.68, -42.24, 350),
    (127, 0.0052, -77.43, -23.65, 20.05, 356),
    (129, 0.1206, -17.86, 9.78, -48.50, 358),
    (132, 0.0056, -72.71, 28.91, 22.52, 361),
    (133, 0.0533, -18.56, -25.85, -37.58, 362),
    (136, 0.0669, -50.85, 71.79, -7.15, 365),
    (143, 0.0148, -64.08, -22.36, -15.61, 372),
    (147, 0.0143, -62.35, 19.44, -16.64, 376),
    (198, 0.0255, -12.47, -2.30, -56.81, 420),
    (205, 0.0473, -38.33, 15.37, -41.38, 425),
)
_MIRROR = np.array([-1.0, 1.0, 1.0])
_SIX = np.array(
    [
        [-44.46, -26.64, -31.73],
        [-18.56, -25.85, -37.58],
        [18.56, -25.85, -37.58],
        [44.46, -26.64, -31.73],
        [-14.06, 17.14, -52.41],
        [14.06, 17.14, -52.41],
    ]
)
_RENDERED_SIX = np.array(
    [
        [-42.9, -20.5, 13.3],
        [-19.6, -19.2, 13.3],
        [19.6, -19.2, 13.3],
        [42.9, -20.5, 13.3],
        [-11.0, 19.9, -13.3],
        [11.0, 19.9, -13.3],
    ]
)
_OF_MESH, _OF_68, _OF_6 = (33, 133, 362, 263, 98, 327), (36, 39, 42, 45, 31, 35), (0, 1, 2, 3, 4, 5)


def _mesh() -> FaceModel:
    left = np.array([row[2:5] for row in _PAIRS])
    middle = np.array([row[2:] for row in _MIDDLE])
    indices = (*(row[0] for row in _MIDDLE), *(row[0] for row in _PAIRS), *(row[5] for row in _PAIRS))
    side = [row[1] for row in _PAIRS]
    weights = np.array([*(row[1] for row in _MIDDLE), *side, *side])
    return FaceModel("mediapipe", 468, indices, np.concatenate([middle, left, left * _MIRROR]), weights, _OF_MESH, _SIX)


def _of_six(name: str, landmarks: int, indices: tuple[int, ...], points: Floats) -> FaceModel:
    return FaceModel(name, landmarks, indices, points, np.ones(6), indices, points)


MESH = _mesh()
FACE_MODELS: dict[str, FaceModel] = {
    "mediapipe": MESH,  # the 468 points of MediaPipe's mesh
    "mediapipe68": _of_six("mediapipe68", 68, _OF_68, _SIX),  # the 68 points of iBUG 300-W, six of which are used
    "mediapipe6": _of_six("mediapipe6", 6, _OF_6, _SIX),  # four eye corners and two nose points
    "rendered68": _of_six("rendered68", 68, _OF_68, _RENDERED_SIX),  # the mean of the people that `synth` renders
}


def model_for(landmarks: int) -> FaceModel:
    """The first model of that many landmarks.

    Raises:
        InputError: where there is none.
    """
    for model in FACE_MODELS.values():
        if model.landmarks == landmarks:
            return model
    known = sorted({model.landmarks for model in FACE_MODELS.values()})
    raise InputError(f"landmarks: expected {', '.join(map(str, known))} of a face, found {landmarks}")


def with_frame(model: FaceModel, name_or_path: str) -> FaceModel:
    """A finder's model with another's six points: where eye corners and nose are, pose and face center with them.

    Args:
        model: of the finder, whose landmarks are kept.
        name_or_path: of ``FACE_MODELS``, or a text file of three numbers a line, mm: six lines (four eye corners from
            the image's left, two nose points), or the 50 of ETH-XGaze's ``face_model.txt``.

    Raises:
        InputError: where there is no such thing.
    """
    if name_or_path in FACE_MODELS:
        chosen = FACE_MODELS[name_or_path]
        if chosen.landmarks == model.landmarks:
            return chosen
        name, points = chosen.name, chosen.frame_points
    else:
        name, points = Path(name_or_path).name, _read_points(Path(name_or_path))
    return replace(model, name=name, indices=model.frame, points=points, weights=np.ones(6), frame_points=points)


def _read_points(path: Path) -> Floats:
    try:
        rows: Sequence[Sequence[float]] = [
            [float(number) for number in line.replace(",", " ").split()]
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.strip()
        ]
        points = np.array(rows, np.float64)
    except FileNotFoundError:
        known = ", ".join(FACE_MODELS)
        raise InputError(f"--face-model: expected a file or one of {known}, found {str(path)!r}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected three numbers a line: {error}") from error
    if points.shape not in ((6, 3), (50, 3)) or not np.isfinite(points).all():
        raise InputError(f"{path}: expected 6 or 50 lines of three finite numbers, found shape {points.shape}")
    return points[list(XGAZE_ROWS)] if len(points) == 50 else points
