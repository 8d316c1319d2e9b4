"""Renders a person of the second kind in a scene: four rays a pixel, sixteen around the eyes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gazenas.data.arrays import Floats
from gazenas.data.synthetic import rendering as first
from gazenas.data.synthetic.development import develop
from gazenas.data.synthetic.head import HeadShape
from gazenas.data.synthetic.portrait.eye import about_eyes, paint_eyes
from gazenas.data.synthetic.portrait.light import shade, shine
from gazenas.data.synthetic.portrait.wear import paint_spectacles
from gazenas.data.synthetic.rendering import IRIS, LID, SCLERA, SKIN, SPECTACLES
from gazenas.data.synthetic.scene import FOCAL_LENGTH, REFERENCE_SIZE, Scene
from gazenas.data.synthetic.shading import Lit, light_head

SAMPLES, EYE_SAMPLES = 2, 4  # along each side of a pixel


@dataclass(frozen=True)
class _Skin:
    """What rays meet before eyes and spectacles are drawn: the same whatever the eyes do.

    Attributes:
        pixels: ``(p,)`` indices of the pixels that the rays belong to, the same number each.
        rays: ``(3, n)`` in the head frame.
        color, ident, depth: ``(n, 3)``, ``(n,)``, ``(n,)``.
    """

    pixels: NDArray[np.intp]
    rays: Floats
    color: Floats
    ident: NDArray[np.int8]
    depth: Floats


def render_portrait(head: HeadShape, scene: Scene, size: int, zoom: float = 1.0) -> NDArray[np.uint8]:
    """``(size, size, 3)`` RGB; as :func:`gazenas.data.synthetic.rendering.render`."""
    return render_all(head, [scene], size, zoom)[0]


def render_all(head: HeadShape, scenes: Sequence[Scene], size: int, zoom: float = 1.0) -> list[NDArray[np.uint8]]:
    """Pictures of one head in one place and one light, whose eyes and development differ: the skin is traced once.

    Args:
        head: with an anatomy.
        scenes: alike but for gaze, lids, pupils, glint and development.
        size, zoom: as of :func:`render_portrait`.
    """
    skins = _trace_skin(head, scenes[0], size, zoom)
    pictures = []
    for scene in scenes:
        assert scene.development is not None, "of the second renderer"
        light = _with_eyes(head, scene, skins, size)[0]
        pictures.append(develop(light, scene.development, scene.noise_seed, size / REFERENCE_SIZE))
    return pictures


def render_light(head: HeadShape, scene: Scene, size: int, zoom: float = 1.0) -> tuple[Floats, Floats]:
    """``(size, size, 3)`` linear RGB, and ``(size, size)`` the share of each pixel covered by an iris."""
    return _with_eyes(head, scene, _trace_skin(head, scene, size, zoom), size)


def _trace_skin(head: HeadShape, scene: Scene, size: int, zoom: float) -> tuple[_Skin, _Skin]:
    """All pixels, and once more those around the eyes, finer."""
    lit = light_head(scene)
    every = _traced(head, lit, np.arange(size * size), (size, zoom), SAMPLES)
    near = np.zeros(size * size, bool)
    near[every.pixels[about_eyes(head, lit, every.rays, every.depth).reshape(size * size, -1).any(1)]] = True
    return every, _traced(head, lit, np.flatnonzero(near), (size, zoom), EYE_SAMPLES)


def _with_eyes(head: HeadShape, scene: Scene, skins: tuple[_Skin, _Skin], size: int) -> tuple[Floats, Floats]:
    """Draws eyes and spectacles over the skin: linear RGB and the share of iris, as of :func:`render_light`."""
    lit = light_head(scene)
    image, iris = np.zeros((size * size, 3), np.float32), np.zeros(size * size, np.float32)
    for skin, has_eyes in zip(skins, (False, True), strict=True):
        if not skin.pixels.size:
            continue
        color, ident, depth = skin.color.copy(), skin.ident.copy(), skin.depth.copy()
        if has_eyes:
            paint_eyes(head, lit, skin.rays, color, ident, depth, (LID, SCLERA, IRIS))
        if head.person.glasses:
            paint_spectacles(lit, skin.rays, color, ident, depth, head, SPECTACLES)
        image[skin.pixels] = color.reshape(skin.pixels.size, -1, 3).mean(1)
        iris[skin.pixels] = (ident == IRIS).reshape(skin.pixels.size, -1).mean(1)
    return image.reshape(size, size, 3), iris.reshape(size, size)


def _traced(head: HeadShape, lit: Lit, pixels: NDArray[np.intp], camera: tuple[int, float], samples: int) -> _Skin:
    """Skin, hair, neck and background where the rays of these pixels meet them."""
    size, zoom = camera
    within = (np.arange(samples, dtype=np.float32) + np.float32(0.5)) / samples
    dy, dx = (grid.reshape(-1) for grid in np.meshgrid(within, within, indexing="ij"))
    rows, columns = np.divmod(pixels, size)
    x = (columns[:, None].astype(np.float32) + dx).reshape(-1)
    y = (rows[:, None].astype(np.float32) + dy).reshape(-1)
    focal = np.float32(zoom * FOCAL_LENGTH * size / REFERENCE_SIZE)
    across, down = (x - np.float32(size / 2)) / focal, (y - np.float32(size / 2)) / focal
    in_camera = np.stack([across, down, np.ones_like(across)])
    rays = lit.rotation.T @ in_camera
    color = np.zeros((x.size, 3), np.float32)
    ident = np.full(x.shape, first.BACKGROUND, np.int8)
    depth = np.full(x.shape, np.inf, np.float32)
    first.draw_neck(lit, in_camera, color, ident, depth, head)
    where, t, values = first.meet_head(lit, rays, depth, head)
    normal = values[:, :3] / np.sqrt(np.einsum("ij,ij->i", values[:, :3], values[:, :3]))[:, None]
    color[where] = shade(lit, values[:, 3:6], normal, values[:, 6]) + shine(lit, normal, values[:, 7])
    ident[where], depth[where] = SKIN, t
    bare = np.flatnonzero(ident == first.BACKGROUND)
    color[bare] = first.sample_background(lit.scene.background, x[bare] / size, y[bare] / size)
    return _Skin(pixels, rays, color, ident, depth)
