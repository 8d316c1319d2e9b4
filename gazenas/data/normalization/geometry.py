"""ETH-XGaze's data normalization (Zhang, Sugano, Bulling, ETRA 2018; Zhang et al., ECCV 2020) and the way back.

A virtual camera with the same center as the real one is turned to look at the face center, its x axis along the head's,
and scaled so that the face seems to be at a fixed distance. Gaze is rotated by ``R`` only, not scaled: the *R*
convention, which is this package's. In the older one a direction is multiplied by ``S R`` with
``S = diag(1, 1, distance / true distance)``, which gives other angles, and the two must not be mixed.

Camera frames have x right, y down, z forward; lengths are mm. Image positions are those of OpenCV: the middle of the
first pixel is (0, 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.errors import InputError
from gazenas.gaze import angles_to_vectors, vectors_to_angles


@dataclass(frozen=True)
class Camera:
    """A real camera: ``matrix`` ``(3, 3)`` and OpenCV's ``distortion`` ``(k1, k2, p1, p2[, k3])``, empty for none."""

    matrix: Floats
    distortion: Floats

    def project(self, points: Floats) -> Floats:
        """``(n, 3)`` points in the camera frame to ``(n, 2)`` image positions."""
        flat = self.distort(points[:, :2] / points[:, 2:])
        positions: Floats = flat @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        return positions

    def rays(self, positions: Floats) -> Floats:
        """``(n, 2)`` image positions to ``(n, 3)`` points at depth 1: the inverse of :meth:`project`."""
        flat = (positions - self.matrix[:2, 2]) @ np.linalg.inv(self.matrix[:2, :2]).T
        straight = flat.copy()
        for _ in range(30 if self.distortion.size else 0):
            straight = straight - (self.distort(straight) - flat)
        return np.concatenate([straight, np.ones((len(flat), 1))], 1)

    def distort(self, flat: Floats) -> Floats:
        """``(n, 2)`` positions at depth 1 as the lens bends them (Brown, 1971)."""
        if not self.distortion.size:
            return flat
        k1, k2, p1, p2, k3 = np.concatenate([self.distortion, np.zeros(5)])[:5]
        x, y = flat[:, 0], flat[:, 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        bent: Floats = np.stack(
            [x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y],
            1,
        )
        return bent


@dataclass(frozen=True)
class Target:
    """The virtual camera: side of its images in pixels, focal length in pixels, distance of the face in mm."""

    size: int = 224
    focal: float = 960.0
    distance: float = 600.0

    @property
    def matrix(self) -> Floats:
        """``(3, 3)``; the principal point is half the side."""
        return np.array([[self.focal, 0, self.size / 2], [0, self.focal, self.size / 2], [0, 0, 1.0]])


@dataclass(frozen=True)
class View:
    """How a face is seen by the virtual camera.

    Attributes:
        rotation: ``(3, 3)`` ``R``, from the real camera's frame to the normalized one.
        scale: of depth, the virtual distance over the true one.
        center: ``(3,)`` face center in mm in the real camera's frame.
        warp: ``(3, 3)`` homography from undistorted image positions to those of the patch.
        head: ``(2,)`` pitch and yaw of the head in the normalized frame.
    """

    rotation: Floats
    scale: float
    center: Floats
    warp: Floats
    head: Floats

    def gaze(self, direction: Floats) -> Floats:
        """``(2,)`` pitch and yaw in the normalized frame of a direction in the camera's."""
        return vectors_to_angles(self.rotation @ direction)

    def gaze_at(self, target: Floats) -> Floats:
        """``(2,)`` pitch and yaw of the gaze from the face center to a point in mm in the camera's frame."""
        return self.gaze(np.asarray(target, np.float64) - self.center)

    def to_camera(self, angles: Floats) -> Floats:
        """``(..., 3)`` unit directions in the real camera's frame of ``(..., 2)`` angles in the normalized one."""
        turned: Floats = angles_to_vectors(np.asarray(angles, np.float64)) @ self.rotation
        return turned

    def landmarks(self, camera: Camera, positions: Floats) -> Floats:
        """``(n, 2)`` positions in the patch of ``(n, 2)`` image positions."""
        straight = camera.rays(positions) @ camera.matrix.T @ self.warp.T
        seen: Floats = straight[:, :2] / straight[:, 2:]
        return seen


def face_center(model: Floats, rotation: Floats, translation: Floats) -> Floats:
    """``(3,)`` middle between the mean of four eye corners and the mean of two nose points, in the camera's frame.

    Args:
        model: ``(6, 3)`` points in the head frame in that order, mm.
        rotation, translation: ``(3, 3)`` and ``(3,)`` of the head.
    """
    points = model @ rotation.T + translation
    center: Floats = (points[:4].mean(0) + points[4:6].mean(0)) / 2
    return center


def view_face(camera: Camera, rotation: Floats, center: Floats, target: Target) -> View:
    """The virtual camera that looks at a face.

    Args:
        camera: the real one.
        rotation: ``(3, 3)`` of the head in its frame.
        center: ``(3,)`` face center in mm.
        target: what the virtual camera is like.

    Raises:
        InputError: where the face is behind the camera or the head's x axis points along the line of sight.
    """
    length = float(np.linalg.norm(center))
    if not np.isfinite(length) or center[2] <= 0:
        raise InputError(
            f"expected a face in front of the camera, found its center at {np.round(center, 1).tolist()} mm"
        )
    forward = center / length
    down = np.cross(forward, rotation[:, 0])
    if np.linalg.norm(down) < 1e-6:
        raise InputError("expected a head whose x axis is not the line of sight, found them parallel")
    down /= np.linalg.norm(down)
    right = np.cross(down, forward)
    turn = np.stack([right / np.linalg.norm(right), down, forward])
    scale = target.distance / length
    warp = target.matrix @ np.diag([1, 1, scale]) @ turn @ np.linalg.inv(camera.matrix)
    facing = (turn @ rotation)[:, 2]  # into the head
    return View(turn, scale, np.asarray(center, np.float64), warp, vectors_to_angles(-facing))


@dataclass(frozen=True)
class Screen:
    """A flat screen: its frame has x right and y down along its edges from the top left corner, seen by who looks at
    it.

    Attributes:
        rotation: ``(3, 3)`` from the screen's frame to the camera's.
        translation: ``(3,)`` the top left corner in the camera's frame, mm.
        pixel: ``(2,)`` width and height of a pixel in mm.
    """

    rotation: Floats
    translation: Floats
    pixel: Floats

    def point(self, origin: Floats, direction: Floats) -> Floats:
        """``(2,)`` position in pixels where a ray from ``origin`` (mm, camera frame) meets the screen's plane.

        Raises:
            InputError: where it points away from the plane or runs along it.
        """
        normal = self.rotation[:, 2]
        slope = float(normal @ direction)
        reach = float(normal @ (self.translation - origin)) / slope if abs(slope) > 1e-9 else -1.0
        if reach <= 0:
            raise InputError("expected a gaze toward the screen's plane, found one along it or away from it")
        met = self.rotation.T @ (origin + reach * direction - self.translation)
        position: Floats = met[:2] / self.pixel
        return position

    def target(self, position: Floats) -> Floats:
        """``(3,)`` point in mm in the camera's frame of a position in pixels: the inverse of :meth:`point`."""
        flat = np.array([*(np.asarray(position, np.float64) * self.pixel), 0.0])
        point: Floats = self.rotation @ flat + self.translation
        return point
