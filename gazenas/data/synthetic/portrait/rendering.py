"""Renders a person of the second kind in a scene: four rays a pixel, sixteen around the eyes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gazenas.data.arrays import Floats
from gazenas.data.synthetic import rendering as first
from gazenas.data.synthetic.development import develop
from gazenas.data.synthetic.head import HeadShape
from gazenas.data.synthetic.portrait.eye import paint_eyes
from gazenas.data.synthetic.portrait.light import shade, shine
from gazenas.data.synthetic.portrait.wear import paint_spectacles
from gazenas.data.synthetic.rendering import IRIS, LID, SCLERA, SKIN, SPECTACLES
from gazenas.data.synthetic.scene import FOCAL_LENGTH, REFERENCE_SIZE, Scene
from gazenas.data.synthetic.shading import Lit, light_head

SAMPLES, EYE_SAMPLES = 2, 4  # along each side of a pixel


def render(head: HeadShape, scene: Scene, size: int, zoom: float = 1.0) -> NDArray[np.uint8]:
    """``(size, size, 3)`` RGB; as :func:`gazenas.data.synthetic.rendering.render`."""
    assert scene.development is not None, "of the second renderer"
    light = render_linear(head, scene, size, zoom)[0]
    return develop(light, scene.development, scene.noise_seed, size / REFERENCE_SIZE)


def render_linear(head: HeadShape, scene: Scene, size: int, zoom: float = 1.0) -> tuple[Floats, Floats]:
    """``(size, size, 3)`` linear RGB, and ``(size, size)`` the share of each pixel covered by an iris."""
    lit = light_head(scene)
    line = np.arange(size, dtype=np.float32) + np.float32(0.5)
    y, x = (grid.reshape(-1) for grid in np.meshgrid(line, line, indexing="ij"))
    color, iris, eyes = _sampled(head, lit, x, y, (size, zoom), SAMPLES)
    near = np.flatnonzero(ndimage.binary_dilation(eyes.reshape(size, size), np.ones((3, 3), bool)))
    if near.size:
        color[near], iris[near], _ = _sampled(head, lit, x[near], y[near], (size, zoom), EYE_SAMPLES)
    return color.reshape(size, size, 3), iris.reshape(size, size)


def _sampled(
    head: HeadShape, lit: Lit, x: Floats, y: Floats, camera: tuple[int, float], samples: int
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Mean colors of pixels with the middles ``x``, ``y``, their share of iris, and whether they show an eye."""
    within = (np.arange(samples, dtype=np.float32) + np.float32(0.5)) / samples - np.float32(0.5)
    dy, dx = (grid.reshape(-1) for grid in np.meshgrid(within, within, indexing="ij"))
    color, ident = _trace(head, lit, (x[:, None] + dx).reshape(-1), (y[:, None] + dy).reshape(-1), *camera)
    ident = ident.reshape(x.size, -1)
    eye = ((ident == SCLERA) | (ident == IRIS) | (ident == LID)).any(1)
    return color.reshape(x.size, -1, 3).mean(1), (ident == IRIS).mean(1).astype(np.float32), eye


def _trace(head: HeadShape, lit: Lit, x: Floats, y: Floats, size: int, zoom: float) -> tuple[Floats, NDArray[np.int8]]:
    """Color ``(n, 3)`` and surface ``(n,)`` seen at image positions ``x``, ``y`` (pixels)."""
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
    paint_eyes(head, lit, rays, color, ident, depth, (LID, SCLERA, IRIS))
    if head.person.glasses:
        paint_spectacles(lit, rays, color, ident, depth, head, SPECTACLES)
    bare = np.flatnonzero(ident == first.BACKGROUND)
    color[bare] = first.sample_background(lit.scene.background, x[bare] / size, y[bare] / size)
    return color, ident
