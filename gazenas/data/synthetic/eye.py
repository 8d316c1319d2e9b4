"""Eyeballs behind lids: a sphere cut by the flat iris disc, seen through an opening in a lid sphere.

The iris is a true disc at depth ``sqrt(R^2 - r^2)`` along the optical axis, so its projected center is the
centroid of what is drawn of it; the lids lie on a concentric, slightly larger sphere and follow the gaze.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gazenas.data.arrays import Floats
from gazenas.data.synthetic.head import HeadShape, dot
from gazenas.data.synthetic.person import Person
from gazenas.data.synthetic.scene import Scene, optical_axes

if TYPE_CHECKING:
    from gazenas.data.synthetic.shading import Lit


def lid_heights(person: Person, scene: Scene, axis: Floats) -> tuple[float, float]:
    """How far the opening reaches above and below the eye center in mm, given the optical axis (head frame).

    The upper lid travels with most of the iris, the lower lid with a third of it.
    """
    drop = float(axis[1]) * person.eye_radius
    upper = (person.upper_lid - 0.8 * drop) * scene.lid_opening
    lower = (person.lower_lid + 0.35 * drop) * (0.5 + 0.5 * scene.lid_opening)
    return max(upper, 1.0 - 0.5 * drop), max(lower, 1.5)


def lid_edges(person: Person, heights: tuple[float, float], across: Floats) -> tuple[Floats, Floats]:
    """y of the upper and lower lid edges at ``across`` (mm along the line between the corners)."""
    relative = np.minimum(np.abs(across) / np.float32(person.fissure), 1)
    upper = -heights[0] * (1 - relative ** np.float32(person.lid_exponents[0]))
    lower = heights[1] * (1 - relative ** np.float32(person.lid_exponents[1]))
    return upper, lower


def _sphere_entry(origin: Floats, rays: Floats, radius: float) -> tuple[Floats, NDArray[np.bool_]]:
    """First depth at which rays from ``origin`` meet a sphere about zero, and whether they do."""
    a, b = dot(rays, rays), dot(rays, origin)
    inside = b * b - a * np.float32(origin @ origin - radius**2)
    depth: Floats = (-b - np.sqrt(np.maximum(inside, 0))) / a
    return depth, inside > 0


def eye_colors(
    head: HeadShape,
    lit: Lit,
    rays: Floats,
    color: Floats,
    ident: NDArray[np.int8],
    depth: Floats,
    idents: tuple[int, int, int],
) -> None:
    """Draws both eyes into ``color``, ``ident`` and ``depth`` where they are nearer than what is there.

    Args:
        rays: ``(3, n)`` in the head frame, from ``lit.origin``.
        idents: what to write into ``ident`` for lid, sclera and iris.
    """
    axes = optical_axes(head, lit.scene.target).astype(np.float32)
    for side, (eye, axis) in enumerate(zip(head.eyes, axes, strict=True)):
        origin = lit.origin - eye
        shell, meets = _sphere_entry(origin, rays, head.person.shell_radius)
        where = np.flatnonzero(meets & (shell < depth + 0.5))
        if where.size:
            _draw_eye(head, lit, side, axis, origin, rays[:, where], shell[where], where, color, ident, depth, idents)


def _draw_eye(
    head: HeadShape,
    lit: Lit,
    side: int,
    axis: Floats,
    origin: Floats,
    rays: Floats,
    shell: Floats,
    where: NDArray[np.intp],
    color: Floats,
    ident: NDArray[np.int8],
    depth: Floats,
    idents: tuple[int, int, int],
) -> None:
    person = head.person
    point = origin[:, None] + rays * shell
    tilt = person.canthal_tilt * (1 if side == 0 else -1)
    cosine, sine = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    across, down = point[0] * cosine + point[1] * sine, point[1] * cosine - point[0] * sine
    upper, lower = lid_edges(person, lid_heights(person, lit.scene, axis), across)
    open_ = (down > upper) & (down < lower) & (point[2] < 0) & (np.abs(across) < person.fissure)

    lid = ~open_ & (shell < depth[where])
    if lid.any():
        normal = point[:, lid].T / np.float32(person.shell_radius) * np.float32(0.7)
        normal[:, 2] -= np.float32(0.3)
        skin = lit.shade(_lid_albedo(person, across[lid], down[lid], upper[lid], lower[lid]), normal)
        # Lids grow out of the face: where their sphere has only just left it, they still look like it.
        share = np.clip((depth[where[lid]] - shell[lid]) / np.float32(3.0), 0, 1)[:, None]
        near = np.clip(1.6 - np.maximum(upper - down, down - lower)[lid] / np.float32(4.5), 0, 1)[:, None]
        color[where[lid]] += np.maximum(share * share * (3 - 2 * share), near) * (skin - color[where[lid]])
        ident[where[lid]], depth[where[lid]] = idents[0], shell[lid]
    if not open_.any():
        return
    ball_where, ball_rays = where[open_], rays[:, open_]
    ball, meets = _sphere_entry(origin, ball_rays, person.eye_radius)
    seen = meets & (ball < depth[ball_where] + np.float32(2.0))
    ball_where, ball_rays, ball = ball_where[seen], ball_rays[:, seen], ball[seen]
    gap = (down - upper)[open_][seen]
    shadow = np.float32(0.45) + np.float32(0.55) * np.clip(gap / 3.5, 0, 1)
    corner = np.clip(np.abs(across[open_][seen]) / person.fissure, 0, 1) ** 4
    painted, is_iris, t = _eyeball(person, lit, axis, origin, ball_rays, ball, corner)
    color[ball_where] = painted * shadow[:, None]
    ident[ball_where] = np.where(is_iris, idents[2], idents[1])
    depth[ball_where] = t


def _lid_albedo(person: Person, across: Floats, down: Floats, upper: Floats, lower: Floats) -> Floats:
    """Lid skin with a dark lash line above, a faint one below, and the crease of the upper lid."""
    skin = np.array(person.skin, np.float32) * np.array([0.90, 0.82, 0.80], np.float32)
    above, below = upper - down, down - lower
    near_opening = np.clip((1.04 - np.abs(across) / person.fissure) * 8, 0, 1)
    lash = person.liner * np.exp(-((np.maximum(above, 0) / 1.5) ** 2)) * (above > -0.3)
    lash = np.maximum(lash, 0.45 * person.liner * np.exp(-((np.maximum(below, 0) / 0.9) ** 2)) * (below > -0.3))
    crease = 0.35 * np.exp(-(((above - 3.8) / 0.8) ** 2))
    dark = np.clip(np.maximum(lash, crease) * near_opening, 0, 0.95)
    albedo: Floats = (skin * (1 - dark)[:, None]).astype(np.float32)
    return albedo


def _eyeball(
    person: Person, lit: Lit, axis: Floats, origin: Floats, rays: Floats, ball: Floats, corner: Floats
) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Colors of the cut sphere: white, iris with a darker rim, pupil, and the reflection on the cornea."""
    iris_radius, depth = person.iris_radius, float(np.sqrt(person.eye_radius**2 - person.iris_radius**2))
    along = dot(rays, axis)
    flat = (depth - origin @ axis) / along
    on_disc = origin[:, None] + rays * flat
    from_axis = np.sqrt(np.maximum(dot(on_disc, on_disc) - depth**2, 0))
    sphere_point = origin[:, None] + rays * ball
    is_iris = (dot(sphere_point, axis) > depth) & (from_axis <= iris_radius) & (along < 0)
    normal = sphere_point.T / np.float32(person.eye_radius)
    white = np.array([0.86, 0.84, 0.82], np.float32) - corner[:, None] * np.array([0.12, 0.32, 0.32], np.float32)
    soft = normal * np.float32(0.6) + axis * np.float32(0.4)
    color = lit.shade(white, soft)
    relative = from_axis / np.float32(iris_radius)
    pupil = np.clip((relative - person.pupil_ratio * lit.scene.pupil) * 12, 0, 1)
    rim = 1 - 0.65 * np.clip((relative - 0.78) / 0.2, 0, 1)
    paint = np.array(person.iris, np.float32) * (0.55 + 0.35 * relative)[:, None]
    disc = lit.shade(
        (paint * (pupil * rim)[:, None] + np.float32(0.012)).astype(np.float32), np.broadcast_to(axis, normal.shape)
    )
    color = np.where(is_iris[:, None], disc, color)
    glint = _glint(person, lit, axis, origin, rays)
    color += glint[:, None] * lit.scene.light_color.astype(np.float32)
    t = np.where(is_iris, flat, ball)
    return color.astype(np.float32), is_iris, t.astype(np.float32)


def _glint(person: Person, lit: Lit, axis: Floats, origin: Floats, rays: Floats) -> Floats:
    """Brightness of the lamp's mirror image on the cornea, a sphere of 7.8 mm about a point 5.6 mm along the axis."""
    center = np.float32(person.eye_radius * 0.45) * axis
    toward_camera = (origin - center) / np.linalg.norm(origin - center)
    half = lit.light + toward_camera
    half = half / np.linalg.norm(half)
    spot = center + np.float32(7.8) * half
    if float(half @ axis) < 0.74:
        return np.zeros(rays.shape[1], np.float32)
    away = spot - origin
    nearest = dot(rays, away) / dot(rays, rays)
    past = rays * nearest - away[:, None]
    distance = dot(past, past)
    brightness: Floats = 1.6 * np.exp(-distance / np.float32(0.7))
    return brightness
