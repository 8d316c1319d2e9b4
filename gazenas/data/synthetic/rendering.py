"""Renders a person in a scene: one ray a pixel, nine where surfaces meet, sixteen in the eyes.

The camera is ETH-XGaze's normalized one. Rays meet the tabulated head by marching (:mod:`.head`), the lids,
eyeballs, spectacles and neck by formula; the nearest surface is lit by two lamps and an ambient term.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gazenas.data.arrays import Floats
from gazenas.data.synthetic.eye import eye_colors
from gazenas.data.synthetic.head import HeadShape, dot, look_up, octahedral
from gazenas.data.synthetic.scene import DISTANCE, FOCAL_LENGTH, REFERENCE_SIZE, Scene
from gazenas.data.synthetic.shading import Lit, light_head

BACKGROUND, SKIN, NECK, SPECTACLES, LID, SCLERA, IRIS = range(7)
MARCH_STEPS = 11
EDGE_SAMPLES, EYE_SAMPLES = 3, 4  # along each side of a pixel
NECK_RADIUS = 54.0


def render(head: HeadShape, scene: Scene, size: int, zoom: float = 1.0) -> NDArray[np.uint8]:
    """Draws a face.

    Args:
        head: from :func:`gazenas.data.synthetic.head.build_head`.
        scene: what the image shows.
        size: side in pixels; the field of view is the same at every size.
        zoom: of the focal length; below 1 more than the face is seen.

    Returns:
        ``(size, size, 3)`` RGB.
    """
    image = render_linear(head, scene, size, zoom)[0]
    sigma = scene.blur * size / REFERENCE_SIZE
    if sigma > 0.1:
        image = ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")
    noise = np.random.default_rng(scene.noise_seed).standard_normal(image.shape, dtype=np.float32)
    values = (
        255 * np.clip(image * np.float32(scene.exposure), 0, 1) ** np.float32(1 / 2.2) + np.float32(scene.noise) * noise
    )
    pixels: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def render_linear(head: HeadShape, scene: Scene, size: int, zoom: float = 1.0) -> tuple[Floats, Floats]:
    """Linear RGB before blur, noise and exposure, and what each pixel shows.

    Returns:
        ``(size, size, 3)`` colors, and ``(size, size)`` the share of each pixel covered by an iris disc.
    """
    lit = light_head(scene)
    line = np.arange(size, dtype=np.float32) + np.float32(0.5)
    y, x = (grid.reshape(-1) for grid in np.meshgrid(line, line, indexing="ij"))
    color, ident = _trace(head, lit, x, y, size, zoom)
    iris = (ident == IRIS).astype(np.float32)
    edges, eyes = _needs_more(color.reshape(size, size, 3), ident.reshape(size, size))
    for again, samples in ((np.flatnonzero(edges), EDGE_SAMPLES), (np.flatnonzero(eyes), EYE_SAMPLES)):
        if not again.size:
            continue
        within = (np.arange(samples, dtype=np.float32) + np.float32(0.5)) / samples - np.float32(0.5)
        dy, dx = (grid.reshape(-1) for grid in np.meshgrid(within, within, indexing="ij"))
        finer = (x[again, None] + dx).reshape(-1), (y[again, None] + dy).reshape(-1)
        fine, fine_ident = _trace(head, lit, *finer, size, zoom)
        color[again] = fine.reshape(again.size, -1, 3).mean(1)
        iris[again] = (fine_ident == IRIS).reshape(again.size, -1).mean(1)
    return color.reshape(size, size, 3), iris.reshape(size, size)


def _needs_more(color: Floats, ident: NDArray[np.int8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels at an edge, and pixels in an eye or next to one: two disjoint masks."""
    differs = np.zeros(ident.shape, bool)
    bright = color.sum(-1)
    for axis in (0, 1):
        step = (np.diff(ident, axis=axis) != 0) | (np.abs(np.diff(bright, axis=axis)) > 0.6)
        ahead = [slice(None), slice(None)]
        behind = [slice(None), slice(None)]
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        differs[tuple(ahead)] |= step
        differs[tuple(behind)] |= step
    eye = ndimage.binary_dilation(ident >= SCLERA, np.ones((3, 3), bool))
    return differs & (ident != LID) & ~eye, eye


def _trace(head: HeadShape, lit: Lit, x: Floats, y: Floats, size: int, zoom: float) -> tuple[Floats, NDArray[np.int8]]:
    """Color ``(n, 3)`` and surface ``(n,)`` seen at image positions ``x``, ``y`` (pixels)."""
    focal = np.float32(zoom * FOCAL_LENGTH * size / REFERENCE_SIZE)
    across, down = (x - np.float32(size / 2)) / focal, (y - np.float32(size / 2)) / focal
    in_camera = np.stack([across, down, np.ones_like(across)])
    rays = lit.rotation.T @ in_camera
    color = np.zeros((x.size, 3), np.float32)
    ident = np.full(x.shape, BACKGROUND, np.int8)
    depth = np.full(x.shape, np.inf, np.float32)
    draw_neck(lit, in_camera, color, ident, depth, head)
    _draw_head(lit, rays, color, ident, depth, head)
    eye_colors(head, lit, rays, color, ident, depth, (LID, SCLERA, IRIS))
    if head.person.glasses:
        _draw_spectacles(lit, rays, color, ident, depth, head)
    bare = np.flatnonzero(ident == BACKGROUND)
    color[bare] = sample_background(lit.scene.background, x[bare] / size, y[bare] / size)
    return color, ident


def sample_background(picture: Floats, x: Floats, y: Floats) -> Floats:
    """The small background picture at relative positions in [0, 1], bilinear."""
    last = picture.shape[0] - 1
    column, row = np.clip(x * last, 0, last), np.clip(y * last, 0, last)
    left, top = np.minimum(column.astype(np.int32), last - 1), np.minimum(row.astype(np.int32), last - 1)
    share, lower = (column - left)[:, None], (row - top)[:, None]
    first = picture[top, left] * (1 - share) + picture[top, left + 1] * share
    second = picture[top + 1, left] * (1 - share) + picture[top + 1, left + 1] * share
    blended: Floats = (first * (1 - lower) + second * lower).astype(np.float32)
    return blended


def _draw_head(lit: Lit, rays: Floats, color: Floats, ident: NDArray[np.int8], depth: Floats, head: HeadShape) -> None:
    where, t, values = meet_head(lit, rays, depth, head)
    normal = values[:, :3] / np.sqrt(np.einsum("ij,ij->i", values[:, :3], values[:, :3]))[:, None]
    color[where] = lit.shade(values[:, 3:], normal)
    ident[where], depth[where] = SKIN, t


def meet_head(lit: Lit, rays: Floats, depth: Floats, head: HeadShape) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Marches each ray through the shell between the skull's largest radius and its middle.

    Returns:
        Which rays meet the head nearer than ``depth``, at which depth, and the surface's values there.
    """
    start = ((lit.origin - head.center) / head.axes).astype(np.float32)[:, None]
    step = rays / head.axes[:, None]
    a, b = dot(step, step), dot(step, start)
    inside = b * b - a * np.float32(float((start**2).sum()) - head.reach**2)
    hit = np.flatnonzero(inside > 0)
    if not hit.size:
        return hit, np.zeros(0, np.float32), np.zeros((0, head.surface.shape[-1]), np.float32)
    step, a, b = step[:, hit], a[hit], b[hit]
    reach = np.sqrt(inside[hit]) / a
    entry = -b / a - reach
    shares = np.linspace(0, 1.15, MARCH_STEPS, dtype=np.float32)
    before, found = entry.copy(), np.zeros(hit.size, bool)
    after = entry.copy()
    flat_radius = head.radius.reshape(-1)
    size = head.radius.shape[0]
    half, one = np.float32((size - 1) / 2), np.float32(1)
    active = np.arange(hit.size)
    for share in shares[1:]:
        t = entry[active] + share * reach[active]
        point = step[:, active]
        point *= t
        point += start
        u, v = octahedral(point)
        v += one
        u += one
        index = (v * half + np.float32(0.5)).astype(np.intp)
        index *= size
        index += (u * half + np.float32(0.5)).astype(np.intp)
        under = dot(point, point) < flat_radius.take(index) ** 2
        reached = active[under]
        after[reached], found[reached] = t[under], True
        active, t = active[~under], t[~under]
        before[active] = t
        if not active.size:
            break
    landed = np.flatnonzero(found)
    t, direction = _refine(head, start, step[:, landed], before[landed], after[landed])
    values = look_up(head.surface, direction)
    where = hit[landed]
    nearer = t < depth[where]
    return where[nearer], t[nearer], values[nearer]


def _refine(head: HeadShape, start: Floats, step: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Depth and direction where rays cross the head between ``low`` (outside) and ``high`` (inside)."""

    def outside(t: Floats) -> tuple[Floats, Floats]:
        point = start + step * t
        gap: Floats = np.sqrt(dot(point, point)) - look_up(head.radius[..., None], point)[:, 0]
        return gap, point

    gap_low, _ = outside(low)
    gap_high, point = outside(high)
    t = high
    for _ in range(2):
        share = gap_low / np.maximum(gap_low - gap_high, np.float32(1e-6))
        t = low + np.clip(share, 0, 1) * (high - low)
        gap, point = outside(t)
        is_out = gap > 0
        low, gap_low = np.where(is_out, t, low), np.where(is_out, gap, gap_low)
        high, gap_high = np.where(is_out, high, t), np.where(is_out, gap_high, gap)
    return t, point


def draw_neck(lit: Lit, rays: Floats, color: Floats, ident: NDArray[np.int8], depth: Floats, head: HeadShape) -> None:
    """An upright cylinder under the skull, in the camera frame: the body does not turn with the head."""
    base = lit.rotation @ (head.center + np.array([0, 40, 8], np.float32)) + np.array([0, 0, DISTANCE], np.float32)
    across, down, forward = rays
    a = across**2 + forward**2
    b = -(across * base[0] + forward * base[2])
    inside = b * b - a * np.float32(base[0] ** 2 + base[2] ** 2 - NECK_RADIUS**2)
    t = (-b - np.sqrt(np.maximum(inside, 0))) / a
    where = np.flatnonzero((inside > 0) & (down * t > base[1]))
    if not where.size:
        return
    t = t[where]
    normal = np.stack([across[where] * t - base[0], np.zeros_like(t), forward[where] * t - base[2]], -1) / NECK_RADIUS
    skin = np.array(head.person.skin, np.float32) * np.float32(0.62)
    color[where] = lit.shade(np.broadcast_to(skin, normal.shape), (normal @ lit.rotation).astype(np.float32))
    ident[where], depth[where] = NECK, t


def _draw_spectacles(
    lit: Lit, rays: Floats, color: Floats, ident: NDArray[np.int8], depth: Floats, head: HeadShape
) -> None:
    """Two rounded rims, a bridge and side pieces, flat in a plane before the eyes and in planes at the temples."""
    person = head.person
    thickness = 1.5
    plane = float(head.eyes[0, 2]) - person.eye_radius - 9.0
    eye_x, eye_y = float(abs(head.eyes[:, 0]).mean()), float(head.eyes[0, 1]) + 2.0
    wide = min(person.glasses * 1.35, eye_x - 7.0)
    t = (plane - lit.origin[2]) / rays[2]
    x = np.abs(lit.origin[0] + rays[0] * t)
    y = lit.origin[1] + rays[1] * t - eye_y
    corner = np.maximum(np.abs(x - eye_x) - (wide - 9), 0) ** 2 + np.maximum(np.abs(y) - (person.glasses - 9), 0) ** 2
    edge = np.sqrt(corner) - 9
    rim = (np.abs(edge) < thickness) & (rays[2] > 0)
    bridge = (x < eye_x - wide) & (np.abs(y + 5 - 0.02 * x * x) < thickness)
    outer = eye_x + wide + 2.0
    frame = [(rim | bridge) & (t > 0), t]
    paint = np.array(person.glasses_color, np.float32) * np.float32(0.8)
    sides = []
    for sign in (-1, 1):
        with np.errstate(divide="ignore", invalid="ignore"):
            s = (sign * outer - lit.origin[0]) / rays[0]
        z = lit.origin[2] + rays[2] * s
        low = lit.origin[1] + rays[1] * s - eye_y
        sides.append(((np.abs(low + 6) < 2.0) & (z > plane) & (z < plane + 95) & (s > 0), s))
    for mask, distance in [(frame[0], frame[1]), *sides]:
        where = np.flatnonzero(mask & (distance < depth))
        shine = lit.scene.ambient.astype(np.float32) + np.float32(0.4) * lit.scene.light_color.astype(np.float32)
        color[where] = paint * shine
        ident[where] = SPECTACLES
        depth[where] = distance[where]
