"""Eyes in a face: lashes, folds, whites in the lids' shadow, irises that the upper lid covers in part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gazenas.data.arrays import Floats
from gazenas.data.synthetic.head import HeadShape, dot
from gazenas.data.synthetic.portrait.lids import SIDES, anatomy_of, eye_frame, opening_edges, opening_heights
from gazenas.data.synthetic.portrait.light import shade
from gazenas.data.synthetic.scene import optical_axes
from gazenas.data.synthetic.shading import Lit

COVERS = 3.5  # mm by which skin before an eye hides it; the lids are no thicker
NEAR, HIGHEST, LOWEST = 3.0, 13.0, 11.0  # mm beside, above and under an eye's corners that are drawn finely
GROOVE = 0.85  # half widths from the middle, where the red corner begins


@dataclass(frozen=True)
class Eye:
    """One eye before the rays that meet its lids.

    Attributes:
        head, lit: whose, in which light.
        axis: ``(3,)`` optical.
        origin: ``(3,)`` of the rays, from the eye center.
        aside, down: ``(n,)`` where a ray meets the lids' ellipsoid: along the line between the corners toward the
            temple, and under it, mm.
        upper, lower: ``(n,)`` the lids' edges there.
    """

    head: HeadShape
    lit: Lit
    axis: Floats
    origin: Floats
    aside: Floats
    down: Floats
    upper: Floats
    lower: Floats


def paint_eyes(
    head: HeadShape,
    lit: Lit,
    rays: Floats,
    color: Floats,
    ident: NDArray[np.int8],
    depth: Floats,
    idents: tuple[int, int, int],
) -> None:
    """Draws both eyes into ``color``, ``ident`` and ``depth`` over the skin.

    Args:
        rays: ``(3, n)`` in the head frame, from ``lit.origin``.
        idents: what to write into ``ident`` for lid, sclera and iris.
    """
    axes = optical_axes(head, lit.scene.target).astype(np.float32)
    for side, axis in enumerate(axes):
        origin = lit.origin - head.eyes[side]
        where, _, point = _meet_lids(head, origin, rays, depth)
        if not where.size:
            continue
        aside, down = _along_lids(head, side, point)
        upper, lower = opening_edges(head.person, opening_heights(head.person, lit.scene, axis), aside)
        eye = Eye(head, lit, axis, origin, aside, down, upper, lower)
        _paint_lids(eye, where, color, ident, idents[0])
        open_ = (eye.down > eye.upper) & (eye.down < eye.lower) & (np.abs(eye.aside) < head.person.fissure)
        if open_.any():
            _paint_ball(_part(eye, open_), rays[:, where[open_]], where[open_], color, ident, idents)


def about_eyes(head: HeadShape, lit: Lit, rays: Floats, depth: Floats) -> NDArray[np.bool_]:
    """``(n,)`` which rays may meet an open eye or its lashes, whatever it does."""
    near = np.zeros(rays.shape[1], bool)
    for side in range(2):
        where, _, point = _meet_lids(head, lit.origin - head.eyes[side], rays, depth)
        aside, down = _along_lids(head, side, point)
        near[where[(np.abs(aside) < head.person.fissure + NEAR) & (down > -HIGHEST) & (down < LOWEST)]] = True
    return near


def _meet_lids(head: HeadShape, origin: Floats, rays: Floats, depth: Floats) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Which rays from ``origin`` (from the eye center) meet the lids' ellipsoid in front, at which depth, and where."""
    shell = np.array(anatomy_of(head.person).lids.shell, np.float32)
    start, step = origin / shell, rays / shell[:, None]
    a, b = dot(step, step), dot(step, start)
    inside = b * b - a * np.float32(start @ start - 1)
    meets = np.flatnonzero(inside > 0)
    t = (-b[meets] - np.sqrt(inside[meets])) / a[meets]
    point = origin[:, None] + rays[:, meets] * t
    seen = (t < depth[meets] + np.float32(COVERS)) & (point[2] < 0)
    return meets[seen], t[seen], point[:, seen]


def _along_lids(head: HeadShape, side: int, point: Floats) -> tuple[Floats, Floats]:
    """Where points from the eye center lie along the line between the corners, toward the temple, and under it."""
    cosine, sine = (np.float32(part) for part in eye_frame(head.person, side))
    low = point[1] - np.float32(anatomy_of(head.person).lids.corner_drop)
    return np.float32(SIDES[side]) * (point[0] * cosine + low * sine), low * cosine - point[0] * sine


def _part(eye: Eye, mask: NDArray[np.bool_]) -> Eye:
    parts = (eye.aside[mask], eye.down[mask], eye.upper[mask], eye.lower[mask])
    return Eye(eye.head, eye.lit, eye.axis, eye.origin, *parts)


def _paint_lids(eye: Eye, where: NDArray[np.intp], color: Floats, ident: NDArray[np.int8], lid: int) -> None:
    """Darkens the skin along lashes, the fold of the upper lid, and under the eye."""
    person = eye.head.person
    lids = anatomy_of(person).lids
    above, below = eye.upper - eye.down, eye.down - eye.lower
    within = np.clip((1.10 - np.abs(eye.aside) / person.fissure) * 6, 0, 1)
    lash = person.liner * np.exp(-((np.maximum(above, 0) / 1.2) ** 2)) * (above > -0.1)
    lash = np.maximum(lash, 0.4 * person.liner * np.exp(-((np.maximum(below, 0) / 0.8) ** 2)) * (below > -0.1))
    fold = lids.crease_darkness * np.exp(-(((above - lids.crease) / 0.9) ** 2)) * within
    between = 0.35 * lids.crease_darkness * ((above > 0) & (above < lids.crease))
    dark = np.clip(np.maximum(np.maximum(lash * within, fold), between * within), 0, 0.93)
    color[where] *= (1 - dark)[:, None]
    ident[where[(np.maximum(above, below) < NEAR) & (within > 0)]] = lid


def _paint_ball(
    eye: Eye,
    rays: Floats,
    where: NDArray[np.intp],
    color: Floats,
    ident: NDArray[np.int8],
    idents: tuple[int, int, int],
) -> None:
    """White, iris, pupil, reflections and the red corners, in the lids' shadow."""
    person, lit, axis, origin = eye.head.person, eye.lit, eye.axis, eye.origin
    lids, fissure = anatomy_of(person).lids, np.float32(person.fissure)
    a, b = dot(rays, rays), dot(rays, origin)
    inside = b * b - a * np.float32(origin @ origin - person.eye_radius**2)
    ball = (-b - np.sqrt(np.maximum(inside, 0))) / a
    point = origin[:, None] + rays * ball
    normal = point.T / np.float32(person.eye_radius)
    out = np.abs(eye.aside) / fissure
    white = np.array(lids.white, np.float32) - np.clip(out - 0.3, 0, 1)[:, None] * np.array(
        [0.05, 0.16, 0.16], np.float32
    )
    hidden = np.full(where.size, anatomy_of(person).socket * 0.35, np.float32)
    painted = shade(lit, np.maximum(white, 0.03), normal * np.float32(0.7) + axis * np.float32(0.3), hidden)
    flesh = np.array(person.skin, np.float32) * np.array([0.75, 0.42, 0.42], np.float32)
    red = np.clip((out - np.where(eye.aside < 0, GROOVE - 0.07, GROOVE + 0.06)) * 8, 0, 1)
    red = np.maximum(red, (inside <= 0) | (point[2] > -1.5))[:, None]
    painted += red * (
        shade(lit, np.broadcast_to(flesh, white.shape), np.broadcast_to(axis, white.shape), hidden) - painted
    )
    iris = _paint_iris(eye, rays, point, painted, hidden)
    gap, low = eye.down - eye.upper, eye.lower - eye.down
    shadow = 1 - np.float32(lids.shadow) * np.exp(-gap / 2.2) - 0.25 * np.exp(-low / 0.8) - 0.2 * out**3
    painted *= np.clip(shadow, 0.1, 1)[:, None]
    painted += _reflections(eye, rays)
    color[where], ident[where] = painted, np.where(iris > 0.5, idents[2], idents[1])


def _paint_iris(eye: Eye, rays: Floats, point: Floats, painted: Floats, hidden: Floats) -> Floats:
    """Draws iris and pupil over the white; returns what share of each ray is iris."""
    person, lit, axis, origin = eye.head.person, eye.lit, eye.axis, eye.origin
    depth = float(np.sqrt(person.eye_radius**2 - person.iris_radius**2))
    along = dot(rays, axis)
    flat = (depth - origin @ axis) / along
    on_disc = origin[:, None] + rays * flat
    relative = np.sqrt(np.maximum(dot(on_disc, on_disc) - depth**2, 0)) / np.float32(person.iris_radius)
    is_iris = (relative <= 1) & (dot(point, axis) > depth * 0.9) & (along < 0)
    pupil = np.clip((relative - person.pupil_ratio * lit.scene.pupil) * 10, 0, 1)
    rim = 1 - 0.6 * np.clip((relative - 0.72) / 0.26, 0, 1)
    paint = np.array(person.iris, np.float32) * (0.75 + 0.4 * relative)[:, None]
    paint = paint * (pupil * rim)[:, None] + np.float32(0.006)
    disc = shade(lit, paint, np.broadcast_to(axis, paint.shape), hidden)
    painted += is_iris[:, None] * (disc - painted)
    share: Floats = is_iris.astype(np.float32)
    return share


def _reflections(eye: Eye, rays: Floats) -> Floats:
    """``(n, 3)`` mirror images of both lamps on the cornea, a sphere of 7.8 mm about a point 5.6 mm along the axis."""
    scene, lit, axis, origin = eye.lit.scene, eye.lit, eye.axis, eye.origin
    center = np.float32(eye.head.person.eye_radius * 0.45) * axis
    toward = (origin - center) / np.linalg.norm(origin - center)
    bright = np.zeros((rays.shape[1], 3), np.float32)
    for light, light_color in ((lit.light, scene.light_color), (lit.fill, scene.fill_color)):
        half = light + toward
        half = half / np.linalg.norm(half)
        if float(half @ axis) < 0.74:
            continue
        away = center + np.float32(7.8) * half - origin
        past = rays * (dot(rays, away) / dot(rays, rays)) - away[:, None]
        spot = np.float32(scene.glint) * np.exp(-dot(past, past) / np.float32(0.7))
        bright += spot[:, None] * light_color.astype(np.float32)
    return bright
