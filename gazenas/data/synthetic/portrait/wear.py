"""Spectacles: rims of any thickness, lenses that tint and mirror."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gazenas.data.arrays import Floats
from gazenas.data.synthetic.head import HeadShape
from gazenas.data.synthetic.portrait.lids import anatomy_of
from gazenas.data.synthetic.shading import Lit

BEFORE = 12.0  # mm of the lenses' plane before the lids
EARS = 95.0  # mm to which the side pieces reach behind it


def paint_spectacles(
    lit: Lit, rays: Floats, color: Floats, ident: NDArray[np.int8], depth: Floats, head: HeadShape, spectacles: int
) -> None:
    """Draws lenses, rims, bridge and side pieces into ``color``, ``ident`` and ``depth``."""
    person, wear = head.person, anatomy_of(head.person).wear
    plane = float(head.eyes[0, 2]) - anatomy_of(person).lids.shell[2] - BEFORE
    wide, low, radius = wear.lens
    eye_x, eye_y = float(abs(head.eyes[:, 0]).mean()) + 1.0, float(head.eyes[0, 1]) + low
    t = (plane - lit.origin[2]) / rays[2]
    x, y = np.abs(lit.origin[0] + rays[0] * t), lit.origin[1] + rays[1] * t - eye_y
    round_ = min(radius, wide, person.glasses)
    corner = np.hypot(
        np.maximum(np.abs(x - eye_x) - (wide - round_), 0), np.maximum(np.abs(y) - (person.glasses - round_), 0)
    )
    edge = corner - round_
    upper = np.clip(0.5 - y / person.glasses, 0, 1)
    thick = wear.rims[1] + (wear.rims[0] - wear.rims[1]) * upper
    before = (t > 0) & (rays[2] > 0) & (t < depth)
    _paint_lenses(lit, color, np.flatnonzero(before & (edge < 0)), x, y, head)
    bridge = (x < eye_x - wide) & (np.abs(y + 0.35 * person.glasses - 0.02 * x * x) < 0.4 + 0.6 * wear.rims[0])
    _paint_frame(lit, color, ident, depth, (before & ((np.abs(edge) < thick) | bridge), t), head, spectacles)
    for sign in (-1, 1):
        with np.errstate(divide="ignore", invalid="ignore"):
            s = (sign * (eye_x + wide + 1.5) - lit.origin[0]) / rays[0]
            z, height = lit.origin[2] + rays[2] * s, lit.origin[1] + rays[1] * s - eye_y
            arm = np.abs(height + 0.3 * person.glasses) < 0.6 + 0.7 * wear.rims[0]
            piece = arm & (z > plane) & (z < plane + EARS) & (s > 0) & (s < depth)
        _paint_frame(lit, color, ident, depth, (piece, s), head, spectacles)


def _paint_lenses(lit: Lit, color: Floats, where: NDArray[np.intp], x: Floats, y: Floats, head: HeadShape) -> None:
    """What lies behind gets darker, and the sky is mirrored in a slanting stripe."""
    wear = anatomy_of(head.person).wear
    if not where.size or not (wear.tint or wear.shine):
        return
    slope = np.sin(0.13 * (x[where] + 0.8 * y[where]) + 2.0 * lit.light[0])
    mirrored = wear.shine * np.clip(slope, 0, 1) ** 2
    sky = 0.4 * lit.scene.light_color.astype(np.float32) + lit.scene.ambient.astype(np.float32)
    color[where] = color[where] * (1 - wear.tint) + mirrored[:, None] * sky


def _paint_frame(
    lit: Lit,
    color: Floats,
    ident: NDArray[np.int8],
    depth: Floats,
    piece: tuple[NDArray[np.bool_], Floats],
    head: HeadShape,
    spectacles: int,
) -> None:
    where = np.flatnonzero(piece[0])
    shine = 0.8 * lit.scene.ambient.astype(np.float32) + np.float32(0.4) * lit.scene.light_color.astype(np.float32)
    color[where] = np.array(head.person.glasses_color, np.float32) * shine
    ident[where], depth[where] = spectacles, piece[1][where]
