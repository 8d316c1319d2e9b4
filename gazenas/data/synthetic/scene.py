"""What one image shows: where the head turns, where the person looks, the light, the camera's flaws."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.synthetic.development import Development
from gazenas.data.synthetic.head import HeadShape
from gazenas.gaze import angles_to_vectors, vectors_to_angles

FOCAL_LENGTH, DISTANCE, REFERENCE_SIZE = 960.0, 600.0, 224  # ETH-XGaze's normalized camera
HEAD_LIMIT = np.radians((50.0, 70.0))  # pitch, yaw
EYE_LIMIT = np.radians((24.0, 32.0))  # pitch, yaw of the gaze in the head
SCREEN = (500.0, 300.0)  # mm, width and height; the camera sits in the middle of its upper edge
MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Scene:
    """Everything that differs between two images of one person.

    ``head_pose`` is (pitch, yaw) in radians, ``roll`` the turn of the head about the direction of its face, clockwise
    as seen of a face that looks into the camera; ``target`` the point looked at, in mm in the head frame; light
    directions point toward the light in the camera frame; ``background`` is a small ``(n, n, 3)`` picture
    stretched behind the head; ``blur`` in pixels at 224; ``noise`` in units of the 8-bit range.
    """

    head_pose: tuple[float, float]
    target: Floats
    light: Floats  # (3,) unit
    light_color: Floats  # (3,)
    fill: Floats  # (3,) unit
    fill_color: Floats
    ambient: Floats  # (3,)
    background: Floats
    lid_opening: float
    pupil: float
    exposure: float
    blur: float
    noise: float
    noise_seed: int
    roll: float = 0.0
    glint: float = 1.6  # brightness of a lamp's mirror image on the cornea; the second renderer's
    development: Development | None = None  # of the second renderer, instead of blur, noise and exposure

    @property
    def rotation(self) -> Floats:
        """``(3, 3)`` head frame to camera frame; without roll its x axis has no y component, as after normalization."""
        rotation = head_rotation(*self.head_pose)
        if not self.roll:
            return rotation
        cosine, sine = np.cos(self.roll), np.sin(self.roll)
        rolled: Floats = rotation @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        return rolled

    @property
    def gaze(self) -> Floats:
        """``(2,)`` pitch and yaw in the camera frame, from the face center to the target: exact."""
        angles: Floats = vectors_to_angles(self.rotation @ self.target)
        return angles

    def mirrored(self) -> Scene:
        """The scene that a mirror shows: every yaw and roll negated. The noise is not part of the mirrored world."""
        return replace(
            self,
            head_pose=(self.head_pose[0], -self.head_pose[1]),
            target=self.target * MIRROR,
            light=self.light * MIRROR,
            fill=self.fill * MIRROR,
            background=np.ascontiguousarray(self.background[:, ::-1]),
            roll=-self.roll,
        )


def head_rotation(pitch: float, yaw: float) -> Floats:
    """Rotation that turns a head facing the camera to the given head pose: about x by pitch, then about y by yaw."""
    cp, sp, cy, sy = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    turn_pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    turn_yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rotation: Floats = turn_yaw @ turn_pitch
    return rotation


def optical_axes(head: HeadShape, target: Floats) -> Floats:
    """``(2, 3)`` unit optical axes in the head frame of two eyes that fixate ``target`` (mm, head frame)."""
    visual = vectors_to_angles(target - head.eyes.astype(np.float64))
    axes: Floats = angles_to_vectors(visual + np.array(head.person.kappa))
    return axes


def iris_centers(head: HeadShape, scene: Scene) -> Floats:
    """``(2, 3)`` centers of the iris discs in mm in the camera frame."""
    depth = np.sqrt(head.person.eye_radius**2 - head.person.iris_radius**2)
    in_head = head.eyes + depth * optical_axes(head, scene.target)
    return to_camera(in_head, scene)


def to_camera(points: Floats, scene: Scene) -> Floats:
    """``(n, 3)`` points from the head frame to the camera frame, both in mm."""
    moved: Floats = points @ scene.rotation.T + np.array([0, 0, DISTANCE])
    return moved


def project(points: Floats, size: int) -> Floats:
    """``(n, 2)`` image positions of points in the camera frame.

    Positions are continuous: pixel (row, column) covers [column, column + 1) x [row, row + 1) and the
    principal point is the middle of the image, ``size / 2``.
    """
    focal = FOCAL_LENGTH * size / REFERENCE_SIZE
    positions: Floats = points[:, :2] / points[:, 2:] * focal + size / 2
    return positions


def look_at_screen(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Floats]:
    """The same scene with a person who looks at a screen, which goes through the camera, and the point looked at.

    The head turns a third as far as it would, from where eyes reach some of the screen; the point is drawn out of that.

    Returns:
        The scene, and ``(2,)`` x to the image's right and y down in mm from the camera.
    """
    scene = replace(scene, head_pose=(scene.head_pose[0] / 3, scene.head_pose[1] / 3))
    half = np.array(SCREEN) / 2
    while True:
        across, down = rng.uniform(-half, half)
        point = np.array([across, down + half[1], 0.0])
        target = scene.rotation.T @ (point - [0, 0, DISTANCE])
        if (np.abs(vectors_to_angles(target)) <= EYE_LIMIT).all():
            return replace(scene, target=target), point[:2]


def sample_scene(rng: np.random.Generator, roll: float = 0.0) -> Scene:
    """Draws a scene: head pose with more mass toward the front, gaze in the head uniform over what eyes reach, roll
    uniform up to ``roll`` radians to either side."""

    def direction(horizontal: float, vertical: float) -> Floats:
        vector = np.array([rng.uniform(-horizontal, horizontal), rng.uniform(-1.0, vertical), -1.0])
        unit: Floats = vector / np.linalg.norm(vector)
        return unit

    pitch, yaw = HEAD_LIMIT * (2 * rng.beta(1.6, 1.6, 2) - 1)
    in_head = EYE_LIMIT * rng.uniform(-1, 1, 2)
    warmth = rng.normal(0, 0.07)
    tint = np.array([1 + warmth, 1.0, 1 - warmth])
    strength = rng.uniform(0.35, 1.0)
    gray = rng.uniform(0.02, 0.7) + rng.normal(0, 0.15, (int(rng.integers(2, 9)),) * 2 + (1,))
    coarse = gray + rng.normal(0, 0.07, 3) + rng.normal(0, 0.04, (*gray.shape[:2], 3))
    return Scene(
        head_pose=(float(pitch), float(yaw)),
        target=rng.uniform(400, 1500) * angles_to_vectors(in_head),
        light=direction(1.6, 0.5),
        light_color=strength * tint,
        fill=direction(1.6, 0.5),
        fill_color=strength * rng.uniform(0.1, 0.5) * tint[::-1],
        ambient=rng.uniform(0.25, 0.55) * (1 + rng.normal(0, 0.03, 3)),
        background=np.clip(coarse, 0.0, 1.0).astype(np.float32),
        lid_opening=float(rng.uniform(0.85, 1.2)),
        pupil=float(rng.uniform(0.85, 1.15)),
        exposure=float(rng.uniform(0.75, 1.25)),
        blur=float(rng.uniform(0.0, 1.1)),
        noise=float(rng.uniform(0.5, 5.0)),
        noise_seed=int(rng.integers(2**31)),
        roll=float(rng.uniform(-roll, roll)) if roll else 0.0,
    )
