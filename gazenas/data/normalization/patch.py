"""Square patches out of photos: bilinear where pixels grow, averaged first where they shrink.

Positions are those of OpenCV: the middle of the first pixel is (0, 0). Sampling a face of 400 pixels at 64 positions a
side without averaging picks pixels out of the photo and moves a network's answer by degrees.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gazenas.data.arrays import Floats
from gazenas.data.normalization.geometry import Camera, Target, View
from gazenas.errors import InputError

Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two excluded
CELLS = 16  # a side, inside which a lens that bends is taken to bend evenly
GROWS = 1.25  # pixels of the photo a pixel of the patch up to which nothing is averaged


def warp_image(image: NDArray[np.uint8], camera: Camera, view: View, target: Target) -> NDArray[np.uint8]:
    """``(S, S, 3)`` normalized patch of an ``(H, W, 3)`` image; black where the image ends."""
    back = np.linalg.inv(view.warp)
    if not camera.distortion.size:
        return sample_square(image, back, target.size)
    shrink = _corners(back, target.size)[1]
    samples = 1 if shrink <= GROWS else 2
    side = target.size * samples
    line = np.linspace(0, side, min(CELLS, side) + 1).round()
    across, down = np.meshgrid(line, line)
    there = np.stack([across.ravel(), down.ravel(), np.full(across.size, samples)], 1) / samples - [0.5, 0.5, 0]
    rays = there @ back.T @ np.linalg.inv(camera.matrix).T  # in the real camera's frame
    source = camera.distort(rays[:, :2] / rays[:, 2:]) @ camera.matrix[:2, :2].T + camera.matrix[:2, 2]
    box = _box(source, image.shape, 2 + int(shrink))
    if box is None:
        return np.zeros((target.size, target.size, 3), np.uint8)
    photo, blocks = _reduced(image, box, int(shrink))
    nodes = ((source + 0.5 - box[:2]) / blocks).reshape(*across.shape, 2)
    cells = []
    for row, (top, bottom) in enumerate(pairwise(line)):
        for column, (left, right) in enumerate(pairwise(line)):
            quad = nodes[[row, row + 1, row + 1, row], [column, column, column + 1, column + 1]]
            cells.append(((int(left), int(top), int(right), int(bottom)), tuple(map(float, quad.ravel()))))
    patch = photo.transform((side, side), Image.Transform.MESH, cells, Image.Resampling.BILINEAR)
    return np.asarray(patch.reduce(samples) if samples > 1 else patch, np.uint8)


def sample_square(image: NDArray[np.uint8], matrix: Floats, size: int, *, quick: bool = False) -> NDArray[np.uint8]:
    """``(size, size, 3)`` of an ``(H, W, 3)`` image, seen through a homography; black where the image ends.

    Args:
        image: RGB.
        matrix: ``(3, 3)`` from positions of the square to those of the image.
        size: side in pixels.
        quick: takes one sample a pixel of the nearest whole reduction: a quarter of the time for large squares, in
            which stripes of up to one and a half pixels may still be picked instead of averaged.

    Raises:
        InputError: where a part of the square is not before the camera.
    """
    corners, shrink = _corners(matrix, size)
    box = _box(corners, image.shape, 2 + int(shrink))
    if box is None:
        return np.zeros((size, size, 3), np.uint8)
    photo, blocks = _reduced(image, box, round(shrink) if quick else int(shrink))
    samples = 1 if quick or shrink <= GROWS else 2
    # From the finer square's corner-based positions to the reduced photo's: Pillow's begin at the corner of a pixel.
    into = np.array([[1 / samples, 0, -0.5], [0, 1 / samples, -0.5], [0, 0, 1]])
    out = np.array([[1, 0, 0.5 - box[0]], [0, 1, 0.5 - box[1]], [0, 0, blocks]]) / blocks
    whole = out @ matrix @ into
    numbers = tuple(float(number) for number in (whole / whole[2, 2]).ravel()[:8])
    bilinear, side = Image.Resampling.BILINEAR, size * samples
    patch = photo.transform((side, side), Image.Transform.PERSPECTIVE, numbers, bilinear)
    return np.asarray(patch.reduce(samples) if samples > 1 else patch, np.uint8)


def _corners(matrix: Floats, size: int) -> tuple[Floats, float]:
    """``(4, 2)`` positions of the square's corners in the image, and how many pixels of it one pixel is wide at most.

    Raises:
        InputError: where one of them is not before the camera.
    """
    low, high = -0.5, size - 0.5
    there = np.array([[low, low, 1], [high, low, 1], [high, high, 1], [low, high, 1]]) @ matrix.T
    if not (np.isfinite(there).all() and there[:, 2].min() > 0.05 * abs(there[:, 2].mean())):
        raise InputError("expected a patch that lies before the camera, found one that reaches beside it")
    corners: Floats = there[:, :2] / there[:, 2:]
    sides = np.linalg.norm(np.diff(corners, axis=0, append=corners[:1]), axis=1)
    return corners, float(sides.max()) / size


def _reduced(image: NDArray[np.uint8], box: Box, blocks: int) -> tuple[Image.Image, int]:
    """A part of an image with blocks of that side averaged, or of the part's own where that is less; their side."""
    photo = Image.fromarray(np.ascontiguousarray(image[box[1] : box[3], box[0] : box[2]]))
    blocks = max(1, min(blocks, *photo.size))
    return photo.reduce(blocks) if blocks > 1 else photo, blocks


def _box(points: Floats, shape: tuple[int, ...], margin: int) -> Box | None:
    """The part of an image of ``shape`` around positions; None where it is beside it."""
    low = np.floor(points.min(0)) - margin
    high = np.ceil(points.max(0)) + margin + 1
    left, top = np.maximum(low, 0)
    right, bottom = np.minimum(high, [shape[1], shape[0]])
    return (int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None
