"""One eye in infrared, as a camera on a spectacle frame sees it: pupil and glints are known exactly.

Frame of the eye: x to the image's right, y down, z into the head, origin at the eyeball's center, mm. The camera sits
before the eye on its ear's or its nose's side; ten lights sit on the rim. Cornea and eyeball are spheres, the iris is a
flat disc, and the cornea does not refract.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gazenas.data.arrays import Floats
from gazenas.gaze import angles_to_vectors
from gazenas.tasks.eye_landmarks import GLINTS

LIGHT_ANGLES = np.radians(18.0 + 36.0 * np.arange(GLINTS))  # clockwise from the image's right
FIELD = 30.0  # mm that the image's side shows at the eye
SAMPLES = 2  # along each side of a pixel
LID = 1.2  # mm of skin over the eyeball


@dataclass(frozen=True)
class NearEye:
    """What stays the same in all images of one person; lengths in mm, brightness from 0 to 1."""

    eye_radius: float
    iris_radius: float
    cornea_radius: float
    cornea_depth: float  # of the cornea's center along the optical axis
    half_opening: float  # of the lids, from corner to corner
    upper_lid: float
    lower_lid: float
    skin: float
    iris: float
    sclera: float
    lashes: float
    rim: tuple[float, float, float]  # half width and half height of the rim, and its distance from the eye's center
    ear: tuple[float, float]  # radians of the ear's camera to the side and below
    nose: tuple[float, float]  # the same of the nose's camera
    texture: int  # seed


@dataclass(frozen=True)
class NearView:
    """What differs between two images of one person.

    Attributes:
        left: whether it is the person's left eye, on the image's right of the nose.
        ear: whether the ear's camera sees it, or the nose's.
        gaze: pitch and yaw of the optical axis in radians.
        pupil: radius in mm.
        opening: of the lids, relative.
        slip: by which the camera has moved, ``(3,)`` mm.
        exposure, blur, noise: of the camera; pixels at 200, and units of the 8-bit range.
        seed: of the noise.
    """

    left: bool
    ear: bool
    gaze: tuple[float, float]
    pupil: float
    opening: float
    slip: Floats
    exposure: float
    blur: float
    noise: float
    seed: int


@dataclass(frozen=True)
class NearCamera:
    """``position`` (3,) in mm, ``axes`` (3, 3) rows right, down and forward, ``focal`` in pixels, ``size`` of the
    image."""

    position: Floats
    axes: Floats
    focal: float
    size: int

    def project(self, points: Floats) -> Floats:
        """``(n, 2)`` x and y in pixels of ``(n, 3)`` points."""
        seen = (points - self.position) @ self.axes.T
        positions: Floats = seen[:, :2] / seen[:, 2:] * self.focal + self.size / 2
        return positions


def sample_near_eye(rng: np.random.Generator) -> NearEye:
    """Draws a person's eye and how the frame sits on their nose."""

    def near(mean: float, deviation: float) -> float:
        return mean + deviation * float(np.clip(rng.normal(), -2, 2))

    def angles(side: float, below: float) -> tuple[float, float]:
        return near(np.radians(side), np.radians(3)), near(np.radians(below), np.radians(3))

    return NearEye(
        eye_radius=near(12.2, 0.3),
        iris_radius=near(5.9, 0.2),
        cornea_radius=near(7.8, 0.2),
        cornea_depth=near(5.3, 0.2),
        half_opening=near(12.5, 0.6),
        upper_lid=near(5.2, 0.6),
        lower_lid=near(4.8, 0.5),
        skin=float(rng.uniform(0.35, 0.75)),
        iris=float(rng.uniform(0.2, 0.5)),
        sclera=float(rng.uniform(0.6, 0.85)),
        lashes=float(rng.uniform(0.2, 0.9)),
        rim=(near(21, 1), near(17, 1), near(24, 1.5)),
        ear=angles(38, 14),
        nose=angles(24, 20),
        texture=int(rng.integers(2**31)),
    )


def sample_view(rng: np.random.Generator) -> NearView:
    """Draws an image: side, camera, gaze within 20 by 25 degrees, pupil, lids, slip of the frame, and the camera's
    flaws."""
    return NearView(
        left=bool(rng.uniform() < 0.5),
        ear=bool(rng.uniform() < 0.5),
        gaze=(float(rng.uniform(-0.35, 0.35)), float(rng.uniform(-0.44, 0.44))),
        pupil=float(rng.uniform(1.4, 3.8)),
        opening=float(rng.uniform(0.75, 1.15)),
        slip=rng.normal(0, 0.7, 3),
        exposure=float(rng.uniform(0.75, 1.3)),
        blur=float(rng.uniform(0.2, 1.1)),
        noise=float(rng.uniform(1.0, 6.0)),
        seed=int(rng.integers(2**31)),
    )


def near_camera(person: NearEye, view: NearView, size: int) -> NearCamera:
    """The camera that looks at the eye's center, moved by the frame's slip."""
    side, below = person.ear if view.ear else person.nose
    side *= 1 if view.left == view.ear else -1  # a left eye's ear is on the image's right
    distance = 38.0
    toward = np.array([np.sin(side) * np.cos(below), np.sin(below), -np.cos(side) * np.cos(below)])
    position = distance * toward + view.slip
    right = np.cross([0.0, 1, 0], -toward)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(-toward, right), -toward])
    return NearCamera(position, axes, size * distance / FIELD, size)


def optical_axis(view: NearView) -> Floats:
    """``(3,)`` unit vector out of the eye."""
    axis: Floats = angles_to_vectors(np.array(view.gaze))
    return axis


def lights(person: NearEye, view: NearView) -> Floats:
    """``(10, 3)`` positions in mm, which slip with the frame."""
    wide, high, far = person.rim
    ring = np.stack([wide * np.cos(LIGHT_ANGLES), high * np.sin(LIGHT_ANGLES), np.full(GLINTS, -far)], 1)
    placed: Floats = ring + view.slip
    return placed


def glint_points(person: NearEye, view: NearView, camera: NearCamera) -> Floats:
    """``(10, 3)`` points of the cornea's sphere, mm, where the normal halves the angle between light and camera."""
    center = person.cornea_depth * optical_axis(view)
    sources = lights(person, view)
    points = np.broadcast_to(center, sources.shape)
    for _ in range(60):
        normal = _unit(_unit(sources - points) + _unit(camera.position - points))
        points = center + person.cornea_radius * normal
    return points


def pupil_ellipse(person: NearEye, view: NearView, camera: NearCamera) -> Floats:
    """``(5,)`` pixels: middle, half width, half height and slant of the pupil's image, which is exactly an ellipse."""
    first, second, axis = _disc_axes(view)
    center = axis * np.sqrt(person.eye_radius**2 - person.iris_radius**2)
    lens = np.diag([camera.focal, camera.focal, 1.0])
    lens[:2, 2] = camera.size / 2
    disc = np.stack([view.pupil * first, view.pupil * second, center - camera.position], 1)
    back = np.linalg.inv(lens @ camera.axes @ disc)
    conic = back.T @ np.diag([1.0, 1, -1]) @ back
    inner = np.linalg.inv(conic[:2, :2])
    ellipse = -np.linalg.det(conic) / np.linalg.det(conic[:2, :2]) * inner
    width, height = np.sqrt(np.diag(ellipse))
    return np.array([*(-inner @ conic[:2, 2]), width, height, ellipse[0, 1] / np.sqrt(width * height)])


def near_eye_landmarks(person: NearEye, view: NearView, size: int) -> Floats:
    """``(25,)`` labels of the task ``eye_landmarks`` in pixels, of what lids hide as well."""
    camera = near_camera(person, view, size)
    glints = camera.project(glint_points(person, view, camera))
    return np.concatenate([pupil_ellipse(person, view, camera), glints.reshape(-1)])


def render_near_eye(person: NearEye, view: NearView, size: int) -> NDArray[np.uint8]:
    """``(size, size)`` gray image."""
    camera = near_camera(person, view, size)
    fine = size * SAMPLES
    line = (np.arange(fine) + 0.5) / SAMPLES - size / 2
    across, down = np.meshgrid(line / camera.focal, line / camera.focal)
    rays = np.stack([across, down, np.ones_like(across)], -1).reshape(-1, 3) @ camera.axes
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    bright = _traced(person, view, camera, rays).reshape(size, SAMPLES, size, SAMPLES).mean((1, 3))
    bright = ndimage.gaussian_filter(bright, view.blur * size / 200)
    noise = np.random.default_rng(view.seed).standard_normal(bright.shape)
    values = 255 * np.clip(bright * view.exposure, 0, 1) + view.noise * noise
    pixels: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def _traced(person: NearEye, view: NearView, camera: NearCamera, rays: Floats) -> Floats:
    """``(n,)`` brightness along ``(n, 3)`` unit rays."""
    shell, meets = _sphere(camera.position, rays, person.eye_radius + LID)
    flat = (-camera.position[2] - 3.0) / rays[:, 2]  # skin around the eye, 3 mm before its center
    depth = np.where(meets & (shell < flat), shell, flat)
    point = camera.position + rays * depth[:, None]
    relative = np.minimum(np.abs(point[:, 0]) / person.half_opening, 1)
    look = optical_axis(view)[1] * person.eye_radius  # lids follow the gaze
    upper = -(person.upper_lid - 0.7 * look) * view.opening * (1 - relative**2.2)
    lower = (person.lower_lid + 0.3 * look) * (0.5 + 0.5 * view.opening) * (1 - relative**2.0)
    y = point[:, 1]
    is_open = meets & (shell <= flat + 1) & (y > upper) & (y < lower) & (relative < 1)
    bright = _skin(person, point)
    edge = np.where(y < (upper + lower) / 2, upper - y, y - lower)
    bright *= 1 - 0.8 * person.lashes * np.exp(-((np.maximum(edge, 0) / 0.8) ** 2)) * (relative < 1)
    where = np.flatnonzero(is_open)
    ball = _eyeball(person, view, camera, rays[where])
    shadow = 0.55 + 0.45 * np.clip((y - upper)[where] / 2.5, 0, 1)
    bright[where] = ball * shadow + _glints(person, view, camera, rays[where])
    return bright


def _skin(person: NearEye, point: Floats) -> Floats:
    """Skin with soft spots, darker toward the corners of the picture, where less light comes."""
    coarse = np.random.default_rng(person.texture).normal(0, 1, (24, 24))
    places = np.clip(np.stack([point[:, 1], point[:, 0]]) / 1.6 + 12, 0, 23)
    spots = ndimage.map_coordinates(coarse, places, order=1, mode="nearest")
    lit = 1 / (1 + (point[:, 0] ** 2 + point[:, 1] ** 2) / 600)
    colored: Floats = person.skin * lit * (1 + 0.08 * spots)
    return colored


def _eyeball(person: NearEye, view: NearView, camera: NearCamera, rays: Floats) -> Floats:
    """Brightness of sclera, iris with its texture and limbus, and pupil."""
    first, second, axis = _disc_axes(view)
    depth = np.sqrt(person.eye_radius**2 - person.iris_radius**2)
    ball, _ = _sphere(camera.position, rays, person.eye_radius)
    normal = (camera.position + rays * ball[:, None]) / person.eye_radius
    flat = (depth - camera.position @ axis) / (rays @ axis)
    disc = camera.position + rays * flat[:, None] - depth * axis
    radius = np.sqrt((disc**2).sum(1))
    turn = np.arctan2(disc @ second, disc @ first)
    folds = np.random.default_rng(person.texture + 1).normal(0, 1, 64)
    texture = ndimage.map_coordinates(folds, [(turn / (2 * np.pi) + 0.5) * 63], order=1, mode="wrap")
    iris = person.iris * (0.8 + 0.2 * radius / person.iris_radius) * (1 + 0.12 * texture)
    iris *= 1 - 0.4 * np.clip((radius / person.iris_radius - 0.82) / 0.18, 0, 1)
    painted = np.where(radius < view.pupil, 0.04, iris)
    sclera = person.sclera * (0.55 + 0.45 * np.clip(-normal[:, 2], 0, 1))
    seen: Floats = np.where(
        (normal @ axis * person.eye_radius > depth) & (radius < person.iris_radius), painted, sclera
    )
    return seen


def _glints(person: NearEye, view: NearView, camera: NearCamera, rays: Floats) -> Floats:
    """Brightness of the lights' mirror images, where the cornea is."""
    bright = np.zeros(len(rays))
    axis = optical_axis(view)
    points = glint_points(person, view, camera)
    on_cornea = (points - person.cornea_depth * axis) @ axis > person.cornea_radius * 0.62
    for point in points[on_cornea]:
        off = point - camera.position
        past = off @ off - (rays @ off) ** 2  # square of the mm by which each ray misses it
        bright += 1.2 * np.exp(-past / 0.22**2)
    return bright


def _disc_axes(view: NearView) -> tuple[Floats, Floats, Floats]:
    """Two unit vectors in the iris's plane, and the optical axis."""
    axis = optical_axis(view)
    first = _unit(np.cross([0.0, 1, 0], axis))
    return first, np.cross(axis, first), axis


def _sphere(origin: Floats, rays: Floats, radius: float) -> tuple[Floats, NDArray[np.bool_]]:
    """First depth at which unit rays from ``origin`` meet a sphere about zero, and whether they do."""
    along = rays @ origin
    inside = along**2 - (origin @ origin - radius**2)
    return -along - np.sqrt(np.maximum(inside, 0)), inside > 0


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
