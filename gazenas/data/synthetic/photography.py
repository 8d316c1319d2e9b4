"""Photos of rendered people by a camera that stands anywhere: several faces, each with all that is true of it.

Near or far, a face has the perspective of the normalized camera's distance, which is what normalization takes a face to
look like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gazenas.data.arrays import Floats
from gazenas.data.normalization.geometry import Camera, Target, View, view_face
from gazenas.data.synthetic.head import HeadShape
from gazenas.data.synthetic.landmarks import project_landmarks
from gazenas.data.synthetic.portrait.rendering import render_portrait
from gazenas.data.synthetic.rendering import render
from gazenas.data.synthetic.scene import DISTANCE, FOCAL_LENGTH, REFERENCE_SIZE, Scene
from gazenas.gaze import angles_to_vectors

ZOOM = 0.5  # of the normalized camera, so that the whole head is in its picture
FINER = 1.5  # pixels of that picture a pixel of the photo
WALL = 0.35  # linear gray behind everybody


@dataclass(frozen=True)
class Sitter:
    """A person before the camera.

    Attributes:
        head: who it is.
        scene: head pose and gaze in the normalized frame, light.
        center: ``(3,)`` face center in mm in the camera's frame.
        roll: of the head in radians, clockwise in the photo.
    """

    head: HeadShape
    scene: Scene
    center: Floats
    roll: float = 0.0


@dataclass(frozen=True)
class Truth:
    """What is true of a sitter, in the camera's frame.

    Attributes:
        direction: ``(3,)`` unit gaze from the face center.
        rotation: ``(3, 3)`` of the head.
        view: the true normalized one, at 224 pixels.
        landmarks: ``(68, 2)`` positions in the photo, those that are hidden included.
    """

    direction: Floats
    rotation: Floats
    view: View
    landmarks: Floats


def photograph(
    sitters: Sequence[Sitter], camera: Camera, width: int, height: int
) -> tuple[NDArray[np.uint8], list[Truth]]:
    """Takes a photo.

    Args:
        sitters: those behind come first.
        camera: without distortion.
        width, height: of the photo in pixels.

    Returns:
        ``(H, W, 3)`` RGB, and by sitter what is true.
    """
    gray = round(255 * WALL ** (1 / 2.2))
    photo = Image.new("RGB", (width, height), (gray, gray, gray))
    truths = []
    for sitter in sitters:
        truth = truth_of(sitter, camera)
        density = camera.matrix[0, 0] / float(np.linalg.norm(sitter.center))  # pixels of the photo a mm
        size = max(32, int(FINER * density * DISTANCE * REFERENCE_SIZE / (ZOOM * FOCAL_LENGTH)))
        scene = replace(sitter.scene, background=np.full((2, 2, 3), WALL, np.float32), exposure=1.0)
        draw = render if sitter.head.person.anatomy is None else render_portrait
        picture = Image.fromarray(draw(sitter.head, scene, size, ZOOM))
        target = Target(size, ZOOM * FOCAL_LENGTH * size / REFERENCE_SIZE, DISTANCE)
        into = view_face(camera, truth.rotation, sitter.center, target).warp
        # Pillow's positions begin at a pixel's corner, a camera's in its middle; a rendered picture's corner is 0.
        matrix = into @ np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])
        numbers = tuple(float(number) for number in (matrix / matrix[2, 2]).ravel()[:8])
        transform, bilinear = Image.Transform.PERSPECTIVE, Image.Resampling.BILINEAR
        there = Image.new("L", picture.size, 255).transform(photo.size, transform, numbers, Image.Resampling.NEAREST)
        photo.paste(picture.transform(photo.size, transform, numbers, bilinear), (0, 0), there)
        truths.append(truth)
    return np.asarray(photo, np.uint8), truths


def truth_of(sitter: Sitter, camera: Camera) -> Truth:
    """What is true of a sitter, without taking the photo.

    The normalized frame is known by the face center and the roll; everything else is the scene's, turned out of it.
    """
    forward = sitter.center / np.linalg.norm(sitter.center)
    down = np.array([-np.sin(sitter.roll), np.cos(sitter.roll), 0.0])
    right = np.cross(down, forward)
    right /= np.linalg.norm(right)
    turn = np.stack([right, np.cross(forward, right), forward])
    rotation = turn.T @ sitter.scene.rotation
    view = view_face(camera, rotation, sitter.center, Target())
    flat = project_landmarks(sitter.head, sitter.scene, REFERENCE_SIZE)
    there = np.concatenate([flat, np.ones((len(flat), 1))], 1) @ np.linalg.inv(view.warp).T
    return Truth(angles_to_vectors(sitter.scene.gaze) @ turn, rotation, view, there[:, :2] / there[:, 2:])
