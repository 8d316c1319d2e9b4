"""A second opinion on gaze, from where the irises lie between the corners of the eyes: no network of ours."""

from __future__ import annotations

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.normalization.geometry import Camera
from gazenas.faces.face import Face
from gazenas.faces.face_models import FaceModel

EYE_DEPTH, EYE_RADIUS = 6.0, 10.8  # mm: of the eyeball's center behind the corners' middle; to the iris


def iris_gaze(face: Face, model: FaceModel, camera: Camera, rotation: Floats, translation: Floats) -> Floats | None:
    """``(3,)`` unit gaze in the camera's frame, the mean of both eyes; None where the irises were not looked for.

    An eyeball lies ``EYE_DEPTH`` behind the middle of its corners; the ray through the center of the iris meets it at
    ``EYE_RADIUS`` from its own center, and gaze goes from there to here. A ray that passes it by gives its nearest
    point.

    Args:
        face: with its irises.
        model: of its landmarks.
        camera: of the image.
        rotation, translation: of the head.
    """
    if face.irises is None:
        return None
    corners = face.landmarks[list(model.frame[:4])].reshape(2, 2, 2).mean(1)
    depths = (model.frame_points[:4] @ rotation.T + translation)[:, 2].reshape(2, 2).mean(1)
    centers = camera.rays(corners) * depths[:, None] + EYE_DEPTH * rotation[:, 2]
    rays = camera.rays(face.irises)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    along = (rays * centers).sum(1)
    beside = (centers**2).sum(1) - along**2
    reach = along - np.sqrt(np.maximum(EYE_RADIUS**2 - beside, 0))
    axes = rays * reach[:, None] - centers
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    middle: Floats = axes.sum(0)
    return middle / np.linalg.norm(middle)
