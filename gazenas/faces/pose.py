"""Where the head of a face that was found is, and whether it can be one."""

from __future__ import annotations

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.normalization.geometry import Camera
from gazenas.data.normalization.pose import Pose, solve_pose
from gazenas.errors import InputError
from gazenas.faces.face import Face
from gazenas.faces.face_models import FaceModel

WORST_FIT = 0.25  # of the landmarks' spread, that they may lie from where the head's points are seen
NEAREST, FARTHEST = 50.0, 100_000.0  # mm, of a head before a camera


def pose_face(face: Face, model: FaceModel, camera: Camera, width: int, height: int) -> Pose:
    """Rotation ``(3, 3)`` and translation ``(3,)`` in mm from the head frame to the camera's.

    Args:
        face: with landmarks of the model.
        model: of a face in 3-D.
        camera: of the image.
        width, height: of the image in pixels.

    Raises:
        InputError: where its landmarks are those of no face that the camera can see.
    """
    if face.landmarks.shape != (model.landmarks, 2):
        raise InputError(f"expected {model.landmarks} landmarks of {model.name}, found {face.landmarks.shape}")
    used = face.landmarks[list(model.indices)]
    rotation, translation = solve_pose(camera, used, model.points, weights=model.weights)
    _check_fit(camera, model.points @ rotation.T + translation, used)
    center = model.center(rotation, translation)
    seen = camera.project(center[None])[0] if center[2] > 0 else np.full(2, -1.0)
    if not (0 <= seen[0] < width and 0 <= seen[1] < height):
        raise InputError("expected a face whose center is within the image, found one beside it")
    return rotation, translation


def _check_fit(camera: Camera, points: Floats, landmarks: Floats) -> None:
    """Whether a head's points are seen about where its landmarks are, at a distance that heads have.

    Raises:
        InputError: where they are not.
    """
    off = float(np.sqrt(((camera.project(points) - landmarks) ** 2).sum(1).mean()))
    wide = float(np.sqrt(((landmarks - landmarks.mean(0)) ** 2).sum(1).mean()))
    if not off < WORST_FIT * wide:
        raise InputError(
            f"expected landmarks of a head, found the nearest one's {off:.1f} pixels away, of a face {wide:.1f} about "
            "its middle; are they in the face model's order?"
        )
    far = float(points[:, 2].mean())
    if not NEAREST < far < FARTHEST:
        raise InputError(
            f"expected a head {NEAREST:g} to {FARTHEST:g} mm before the camera, found it at {far:.3g}; is the camera's "
            "focal length right?"
        )
