"""The shape and color of a person's head, tabulated once and looked up by every ray.

The head is star-shaped about its center: in coordinates divided by the skull's semi-axes its surface lies at
distance ``k(d)`` in direction ``d``. ``k``, the surface normal and the skin color are tables over the
octahedral map of directions (Engelhardt and Dachsbacher, 2008), whose middle is the face.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from gazenas.data.arrays import Floats
from gazenas.data.synthetic.person import Person

TABLE_SIZE = 320
EYE_HEIGHT = -20.0  # y of the eye line before the origin moves to the face center


@dataclass(frozen=True)
class HeadShape:
    """A person's head in the head frame: x right, y down, z into the head, origin at the face center, mm.

    ``radius`` is ``(T, T)``; ``surface`` is ``(T, T, 6)``: unit normal, then linear RGB. The face center is
    ETH-XGaze's: half way between the mean of the four eye corners and the mean of two nose points.
    """

    person: Person
    axes: Floats
    center: Floats
    eyes: Floats  # (2, 3), the one at the image's left first
    radius: Floats
    surface: Floats
    reach: float  # the largest value in ``radius``

    def mirrored(self) -> HeadShape:
        """The head that a mirror shows."""
        flip = np.array([-1, 1, 1], np.float32)
        surface = self.surface[:, ::-1].copy()
        surface[..., 0] *= -1
        (up0, yaw0), (up1, yaw1) = self.person.kappa
        return replace(
            self,
            person=replace(self.person, kappa=((up1, -yaw1), (up0, -yaw0))),
            eyes=self.eyes[::-1] * flip,
            center=self.center * flip,
            radius=np.ascontiguousarray(self.radius[:, ::-1]),
            surface=surface,
        )

    def surface_points(self, x: Floats, y: Floats) -> Floats:
        """``(n, 3)`` points of the face that lie at the given x and y of the head frame."""
        direction = np.stack([(x - self.center[0]) / self.axes[0], (y - self.center[1]) / self.axes[1]], -1)
        plane = direction.copy()
        for _ in range(12):
            length = np.minimum((plane**2).sum(-1), 0.98)
            full = np.concatenate([plane, -np.sqrt(1 - length)[:, None]], -1)
            k = look_up(self.radius[..., None], full.T)[:, 0]
            plane = direction / k[:, None]
        points: Floats = (self.center + self.axes * full * k[:, None]).astype(np.float32)
        return points


def octahedral(direction: Floats) -> tuple[Floats, Floats]:
    """Maps ``(3, n)`` directions to two coordinates in [-1, 1], the face (-z) in the middle."""
    x, y, z = direction
    scale = np.abs(x)
    scale += np.abs(y)
    scale += np.abs(z)
    np.reciprocal(scale, out=scale)
    u, v = x * scale, y * scale
    behind = np.flatnonzero(z > 0)
    if behind.size:
        back_u, back_v = u[behind], v[behind]
        u[behind] = np.copysign(1 - np.abs(back_v), back_u)
        v[behind] = np.copysign(1 - np.abs(back_u), back_v)
    return u, v


def dot(a: Floats, b: Floats) -> Floats:
    """Products of ``(3, n)`` vectors with ``(3, n)`` vectors or with one ``(3,)``: ``(n,)``."""
    products: Floats = a[0] * b[0]
    products += a[1] * b[1]
    products += a[2] * b[2]
    return products


def look_up(table: Floats, direction: Floats) -> Floats:
    """Bilinear values of a ``(T, T, C)`` table at ``(3, n)`` directions: ``(n, C)``."""
    u, v = octahedral(direction)
    size = table.shape[0]
    half = np.float32((size - 1) / 2)
    x, y = (u + 1) * half, (v + 1) * half
    left = np.clip(x.astype(np.intp), 0, size - 2)
    top = np.clip(y.astype(np.intp), 0, size - 2)
    right_share, lower_share = (x - left)[:, None], (y - top)[:, None]
    flat = table.reshape(size * size, -1)
    start = top * size + left
    upper = flat.take(start, 0)
    upper += (flat.take(start + 1, 0) - upper) * right_share
    lower = flat.take(start + size, 0)
    lower += (flat.take(start + size + 1, 0) - lower) * right_share
    lower -= upper
    lower *= lower_share
    lower += upper
    values: Floats = lower
    return values


def build_head(person: Person, table_size: int = TABLE_SIZE) -> HeadShape:
    """Tabulates a person's head.

    Args:
        person: the numbers of this person.
        table_size: side of the tables; a texel in the middle of the face measures about 150 / table_size mm.
    """
    axes = np.array(person.skull, np.float32)
    directions = texel_directions(table_size)
    base = (np.abs(directions) ** 2.4).sum(-1) ** np.float32(-1 / 2.4)
    x, y = directions[..., 0] * axes[0] * base, directions[..., 1] * axes[1] * base
    front = np.clip(-directions[..., 2] * 3, 0, 1)
    length = np.sqrt(((directions * axes) ** 2).sum(-1))
    eye_x = person.eye_spacing / 2

    flat = base + _face_relief(person, np.abs(x), y, front, sockets=False) / length
    eye_front = depth_at(flat, axes, eye_x, EYE_HEIGHT)
    hair = _hair_mask(person, directions, x, y)
    relief = _face_relief(person, np.abs(x), y, front, sockets=True) + 7 * hair + ears(person, directions, axes)
    radius = base + relief / length
    normal = normals(directions * axes * radius[..., None])
    albedo = _albedo(person, np.abs(x), x, y, front, hair)

    depth = eye_front + person.shell_radius - person.eye_protrusion
    eyes = np.array([[-eye_x, EYE_HEIGHT, depth], [eye_x, EYE_HEIGHT, depth]], np.float32)
    head = HeadShape(
        person,
        axes,
        np.zeros(3, np.float32),
        eyes,
        radius.astype(np.float32),
        np.concatenate([normal, albedo], -1).astype(np.float32),
        float(radius.max()) * 1.001,
    )
    corners = eye_corners(head)
    nose = head.surface_points(*nose_base(person))
    origin = 0.5 * (corners.reshape(4, 3).mean(0) + nose.mean(0))
    return replace(head, center=head.center - origin, eyes=(eyes - origin).astype(np.float32))


def eye_corners(head: HeadShape) -> Floats:
    """``(2, 2, 3)`` corners of both eye openings, from the image's left to its right."""
    person = head.person
    x = person.fissure * np.cos(person.canthal_tilt)
    y = person.fissure * np.sin(person.canthal_tilt)
    z = -np.sqrt(person.shell_radius**2 - person.fissure**2)
    left_eye = np.array([[-x, -y, z], [x, y, z]])
    right_eye = np.array([[-x, y, z], [x, -y, z]])
    corners: Floats = (np.stack([left_eye, right_eye]) + head.eyes[:, None]).astype(np.float32)
    return corners


def nose_base(person: Person) -> tuple[Floats, Floats]:
    """x and y of the two points where the wings of the nose meet the cheek, before the origin moves."""
    reach = person.nose_width + 3.0
    y = EYE_HEIGHT + person.nose_length
    return np.array([-reach, reach], np.float32), np.array([y, y], np.float32)


def texel_directions(size: int) -> Floats:
    """``(size, size, 3)`` unit directions at the texels of the octahedral map."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    v, u = np.meshgrid(line, line, indexing="ij")
    z = np.abs(u) + np.abs(v) - 1
    outside = z > 0
    x = np.where(outside, (1 - np.abs(v)) * np.where(u < 0, -1, 1), u)
    y = np.where(outside, (1 - np.abs(u)) * np.where(v < 0, -1, 1), v)
    directions = np.stack([x, y, z], -1)
    unit: Floats = (directions / np.linalg.norm(directions, axis=-1, keepdims=True)).astype(np.float32)
    return unit


def bump(x: Floats, y: Floats, at_x: float, at_y: float, wide: float, high: float) -> Floats:
    """A Gaussian hill of height 1 about (``at_x``, ``at_y``), with the deviations ``wide`` and ``high``, mm."""
    bump: Floats = np.exp(-0.5 * (((x - at_x) / wide) ** 2 + ((y - at_y) / high) ** 2))
    return bump


def step(values: Floats, low: float, high: float) -> Floats:
    """Smooth rise from 0 at ``low`` to 1 at ``high``."""
    share = np.clip((values - low) / (high - low), 0, 1)
    rise: Floats = share * share * (3 - 2 * share)
    return rise


def _face_relief(person: Person, x: Floats, y: Floats, front: Floats, *, sockets: bool) -> Floats:
    """Outward displacement in mm of the face over the skull; ``x`` is the distance from the mid-line."""
    eye_x, brow_y = person.eye_spacing / 2, EYE_HEIGHT - person.brow_height
    nose_y = EYE_HEIGHT + person.nose_length
    along = np.clip((y - EYE_HEIGHT + 4) / (person.nose_length - 4), 0, 1)
    ridge = (2.5 + (person.nose_height - 2.5) * along**1.4) * (1 - step(y, nose_y - 2, nose_y + 5))
    ridge = ridge * step(y, EYE_HEIGHT - 14, EYE_HEIGHT + 4)
    relief = ridge * np.exp(-0.5 * (x / (4.2 + (person.nose_width - 3.0) * along**2)) ** 2)
    relief = relief + 5.0 * bump(x, y, person.nose_width + 1, nose_y - 4, 3.6, 4.0)
    relief = relief + 3.5 * bump(x, y, eye_x - 4, brow_y + 3, 15, 5)
    relief = relief + 4.0 * bump(x, y, 38, 14, 14, 13)
    mouth_y = nose_y + 24
    relief = relief + 3.5 * bump(x, y, 0, mouth_y - 4, 17, 3.4) + 4.0 * bump(x, y, 0, mouth_y + 5, 14, 4.0)
    relief = relief - 2.0 * bump(x, y, 0, mouth_y, 20, 1.5) - 2.5 * bump(x, y, 0, mouth_y + 14, 16, 4)
    relief = relief + 8.0 * bump(x, y, 0, mouth_y + 28, 15, 10)
    narrowing = person.jaw * 15 * step(y, 10, 95) * np.clip(x / 60, 0, 1.2) ** 2
    if sockets:
        relief = relief - 6.0 * bump(x, y, eye_x, EYE_HEIGHT + 1, 13, 8.0)
    shape: Floats = relief * front - narrowing
    return shape


def ears(person: Person, directions: Floats, axes: Floats) -> Floats:
    """Outward displacement in mm of the ears over the skull, less under long hair."""
    y, z = directions[..., 1] * axes[1], directions[..., 2] * axes[2]
    ear: Floats = 16 * np.exp(-0.5 * (((y - 2) / 17) ** 4 + ((z - 14) / 7) ** 2)) * (np.abs(directions[..., 0]) > 0.5)
    return ear * np.float32(0.2 if person.long_hair else 1.0)


def depth_at(radius: Floats, axes: Floats, x: float, y: float) -> float:
    """z of the surface at the given frontal position, from the texel that comes nearest."""
    points = texel_directions(radius.shape[0]) * axes * radius[..., None]
    distance = (points[..., 0] - x) ** 2 + (points[..., 1] - y) ** 2 + 1e6 * (points[..., 2] > 0)
    return float(points.reshape(-1, 3)[distance.argmin(), 2])


def normals(points: Floats) -> Floats:
    """Outward unit normals of a ``(T, T, 3)`` grid of surface points."""
    along_v, along_u = np.gradient(points, axis=0), np.gradient(points, axis=1)
    normal = np.cross(along_v, along_u)
    outward = np.where((normal * points).sum(-1, keepdims=True) < 0, -1, 1)
    length = np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    unit: Floats = normal / length * outward
    return unit


def noise(rng: np.random.Generator, size: int, scale: float) -> Floats:
    """Smooth noise of unit deviation with features of about ``scale`` texels."""
    field = ndimage.gaussian_filter(rng.standard_normal((size, size), dtype=np.float32), scale)
    scaled: Floats = field / field.std()
    return scaled


def _hair_mask(person: Person, directions: Floats, x: Floats, y: Floats) -> Floats:
    rng = np.random.default_rng(person.texture_seed)
    ragged = y + 2.5 * noise(rng, y.shape[0], 2.0)
    crown = step(-ragged - 0.006 * x**2, person.hairline - 3, person.hairline + 3)
    back = step(directions[..., 2] - 0.004 * np.maximum(y - 30, 0), 0.22, 0.34) * (y < 60)
    if person.long_hair:
        back = np.maximum(back, step(np.abs(x) + 1.5 * noise(rng, y.shape[0], 2.0), 62, 68))
    mask: Floats = np.maximum(crown, back)
    return mask


def _albedo(person: Person, aside: Floats, x: Floats, y: Floats, front: Floats, hair: Floats) -> Floats:
    """``(T, T, 3)`` linear RGB with the creases darkened, since the light model casts no shadows."""
    rng = np.random.default_rng([person.texture_seed, 1])
    size = x.shape[0]
    eye_x, brow_y = person.eye_spacing / 2, EYE_HEIGHT - person.brow_height
    nose_y = EYE_HEIGHT + person.nose_length
    mouth_y = nose_y + 24
    skin = np.array(person.skin, np.float32)
    color = np.ones((size, size, 3), np.float32) * skin
    color *= 1 + 0.05 * noise(rng, size, 12)[..., None] + 0.025 * noise(rng, size, 1.2)[..., None]
    flush = 0.10 * bump(aside, y, 36, 18, 13, 10) + 0.10 * bump(aside, y, 0, nose_y - 6, 9, 7)
    color *= 1 - flush[..., None] * np.array([0.0, 1.0, 0.9], np.float32)
    shade = 0.34 * bump(aside, y, eye_x - 9, EYE_HEIGHT - 4, 9, 6) + 0.18 * bump(
        aside, y, eye_x, EYE_HEIGHT + 11, 12, 4
    )
    shade = shade + 0.55 * bump(aside, y, 5, nose_y + 2.5, 4.5, 1.8) + 0.2 * bump(aside, y, 0, mouth_y + 13, 14, 3)
    shade = shade + 0.45 * step(y, mouth_y + 34, mouth_y + 52)
    color *= 1 - (shade * front)[..., None]
    lip_edge = 23 * (1 - 0.02 * np.abs(y - mouth_y))
    lip_height = np.where(aside < 26, 7.5 - 0.16 * aside, 1.0)  # further out it would pass through zero
    lips = step(lip_edge - aside, 0, 6) * np.exp(-(((y - mouth_y - 0.5) / lip_height) ** 4)) * front * (aside < 26)
    red = skin * np.array([0.86, 0.52, 0.52], np.float32)
    color += (lips * (0.35 + 0.65 * person.lips))[..., None] * (red - color)
    slit = 0.75 * np.exp(-(((y - mouth_y) / 1.1) ** 2)) * step(24 - aside, 0, 4) * front
    color *= 1 - slit[..., None]
    arch = brow_y - 2.5 * np.cos((aside - eye_x) / 9) + 0.012 * (aside - eye_x - 6) ** 2
    brow = np.exp(-(((y - arch) / person.brow_thickness) ** 4)) * step(aside, 12, 17) * step(-aside, -53, -44) * front
    brow = brow * (1 - 0.25 * np.abs(noise(rng, size, 1.0)))
    hair_color = np.array(person.hair, np.float32)
    color += (np.clip(brow, 0, 1) * person.brow_darkness)[..., None] * (0.8 * hair_color - color)
    stubble = person.beard * np.maximum(step(y - 0.25 * (62 - aside), 12, 30), bump(aside, y, 0, mouth_y - 12, 20, 5))
    color += (stubble * front * (1 - lips) * (1 - 0.3 * np.abs(noise(rng, size, 1.0))))[..., None] * (
        hair_color - color
    )
    strands = hair_color * (1 + 0.35 * ndimage.gaussian_filter1d(noise(rng, size, 0.8), 5, axis=0)[..., None])
    color += hair[..., None] * (strands - color)
    clipped: Floats = np.clip(color, 0.01, 1.0)
    return clipped
