"""What two lamps and the sky do to skin and eyes."""

from __future__ import annotations

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.synthetic.shading import Lit

WRAP = 0.12  # light scatters in skin, so that it reaches a little beyond its edge
SHARPNESS = 14.0  # of the shine


def shade(lit: Lit, albedo: Floats, normal: Floats, hidden: Floats) -> Floats:
    """``(n, 3)`` light leaving ``(n, 3)`` albedos.

    Args:
        lit: the lights in the head frame.
        albedo: linear RGB.
        normal: ``(n, 3)`` unit.
        hidden: ``(n,)`` how much of the light from above does not reach the place, 0 to 1.
    """
    scene = lit.scene
    light = scene.ambient.astype(np.float32) * (1 - np.float32(0.7) * hidden)[:, None]
    for direction, color in ((lit.light, scene.light_color), (lit.fill, scene.fill_color)):
        facing = np.maximum(normal @ direction + np.float32(WRAP), 0) / np.float32(1 + WRAP)
        from_above = np.float32(np.clip(0.25 - 1.3 * float(direction[1]), 0, 1))
        light = light + (facing * (1 - hidden * from_above))[:, None] * color.astype(np.float32)
    lit_up: Floats = albedo * light
    return lit_up


def shine(lit: Lit, normal: Floats, gloss: Floats) -> Floats:
    """``(n, 3)`` light that skin mirrors."""
    toward = lit.origin / np.linalg.norm(lit.origin)
    total = np.zeros((len(normal), 3), np.float32)
    for direction, color in ((lit.light, lit.scene.light_color), (lit.fill, lit.scene.fill_color)):
        half = direction + toward
        half = half / np.linalg.norm(half)
        total += (gloss * np.maximum(normal @ half, 0) ** np.float32(SHARPNESS))[:, None] * color.astype(np.float32)
    return total
