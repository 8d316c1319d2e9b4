"""MediaPipe's networks by LiteRT: where faces are (BlazeFace), their mesh, their irises.

Bazarevsky et al., *BlazeFace* (2019); Kartynnik et al., *Real-time Facial Surface Geometry from Monocular Video on
Mobile GPUs* (2019); Ablavatski et al., *Real-time Pupil Tracking from Monocular Video for Digital Puppetry* (2020).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gazenas.data.arrays import Floats
from gazenas.data.normalization.patch import sample_square
from gazenas.errors import InputError
from gazenas.faces.face import overlap

Pixels = NDArray[np.uint8]
LEAST_SCORE, SAME_FACE = 0.5, 0.3  # of a detection; overlap of two that are one face
ANCHORS = ((1 / 16, 2), (1 / 8, 6))  # of both maps: a cell's side as a share of the network's own, boxes a cell


class LiteNetwork:
    """A ``.tflite`` file on one thread; ``size`` is the side of the square that it was made for.

    Raises:
        InputError: where LiteRT cannot read it.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter  # the extra [faces], which no other finder needs

        try:
            self._interpreter: Any = Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"{path}: expected a .tflite file: {error}") from error
        details = self._interpreter.get_input_details()[0]
        self._input, self.size = details["index"], int(details["shape"][1])
        self._shape = (self.size, self.size, 3)
        self._outputs = [each["index"] for each in self._interpreter.get_output_details()]

    def __call__(self, image: Pixels, low: float = 0.0) -> list[NDArray[np.float32]]:
        """Flat outputs for an ``(H, W, 3)`` image, scaled to between ``low`` and 1.

        A network of convolutions alone takes other sizes than its own; its first image of another one costs a third
        more.
        """
        if image.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input, [1, *image.shape])
            self._interpreter.allocate_tensors()
            self._shape = image.shape
        values = image.astype(np.float32) * np.float32((1 - low) / 255) + np.float32(low)
        self._interpreter.set_tensor(self._input, values[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index).ravel() for index in self._outputs]


class Detector:
    """BlazeFace: boxes, scores and six key points of faces, from two maps of cells with an anchor each.

    Its network reads no more of a letter box than the image needs.
    """

    def __init__(self, path: Path) -> None:
        self._network = LiteNetwork(path)

    def __call__(self, image: Pixels) -> list[tuple[Floats, float, Floats]]:
        """Boxes ``(4,)``, scores and key points ``(6, 2)`` (eyes first) in pixels, the surest first."""
        boxed, scale, offset = _letterbox(image, self._network.size)
        raw, logits = self._network(boxed, low=-1.0)
        scores = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
        kept = np.flatnonzero(scores > LEAST_SCORE)
        values = raw.reshape(len(scores), -1, 2)[kept].astype(np.float64)
        anchors = _anchors(*boxed.shape[:2], self._network.size)[kept]
        points = values[:, 2:] + anchors[:, None]
        boxes = np.concatenate([values[:, 0] + anchors - values[:, 1] / 2, values[:, 1]], 1)
        found = []
        left = list(np.argsort(-scores[kept], kind="stable"))
        while left:
            same = [row for row in left if overlap(boxes[left[0]], boxes[row]) >= SAME_FACE or row == left[0]]
            left = [row for row in left if row not in same]
            weights = scores[kept][same] / scores[kept][same].sum()  # the boxes of one face are averaged
            box, keys = weights @ boxes[same], np.tensordot(weights, points[same], 1)
            place = np.concatenate([(box[:2] - offset) / scale - 0.5, box[2:] / scale])
            found.append((place, float(scores[kept][same[0]]), (keys - offset) / scale - 0.5))
        return found


@lru_cache(maxsize=8)
def _anchors(height: int, width: int, size: int) -> Floats:
    """``(n, 2)`` middles of the cells, in pixels of what the network reads, in the order of its outputs."""
    middles = []
    for share, boxes in ANCHORS:
        step = share * size
        across, down = np.meshgrid(np.arange(step / 2, width, step), np.arange(step / 2, height, step))
        middles.append(np.repeat(np.stack([across.ravel(), down.ravel()], 1), boxes, 0))
    return np.concatenate(middles)


def _letterbox(image: Pixels, size: int) -> tuple[Pixels, float, Floats]:
    """The whole image, its longer side of ``size`` pixels, the shorter one with black bands up to whole cells; the
    scale and the offset in pixels that lead into it."""
    height, width = image.shape[:2]
    scale, cell = size / max(height, width), round(size * ANCHORS[-1][0])
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    outer = tuple(-(-side // cell) * cell for side in inner)
    small = Image.fromarray(np.ascontiguousarray(image))
    small = small.reduce(max(1, int(1 / scale))).resize(inner, Image.Resampling.BILINEAR)
    left, top = (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2
    boxed = np.zeros((outer[1], outer[0], 3), np.uint8)
    boxed[top : top + inner[1], left : left + inner[0]] = np.asarray(small)
    return boxed, scale, np.array([left, top], np.float64)


def square_around(center: Floats, side: float, angle: float, size: int, *, mirrored: bool = False) -> Floats:
    """``(3, 3)`` from positions in a square of ``size`` pixels to those in an image, where it is turned and scaled.

    Args:
        center: ``(2,)`` of the square in the image.
        side: of it there, in pixels.
        angle: in radians, of its x axis in the image.
        size: of the square itself.
        mirrored: whether its left is the image's right.
    """
    scale = side / size
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[-cosine if mirrored else cosine, -sine], [-sine if mirrored else sine, cosine]])
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = center - turn @ np.full(2, (size - 1) / 2)
    return matrix


class Mesh:
    """468 points of the face inside a square."""

    def __init__(self, path: Path) -> None:
        self._network = LiteNetwork(path)

    def __call__(self, image: Pixels, center: Floats, side: float, angle: float) -> tuple[Floats, float]:
        """``(468, 2)`` image positions, and how sure the network is that this is a face, 0 to 1."""
        size = self._network.size
        matrix = square_around(center, side, angle, size)
        outputs = self._network(sample_square(image, matrix, size, quick=True))
        points, logit = sorted(outputs, key=len, reverse=True)
        flat = points.reshape(-1, 3)[:, :2].astype(np.float64) - 0.5
        return flat @ matrix[:2, :2].T + matrix[:2, 2], float(1 / (1 + np.exp(-np.clip(logit[0], -80, 80))))


class Iris:
    """The center of an iris between two corners of an eye."""

    WIDTH = 2.3  # of the square, in widths of the eye

    def __init__(self, path: Path) -> None:
        self._network = LiteNetwork(path)

    def __call__(self, image: Pixels, left: Floats, right: Floats, *, mirrored: bool) -> Floats:
        """``(2,)`` image position.

        Args:
            image: RGB.
            left, right: ``(2,)`` corners, from the image's left.
            mirrored: whether it is the eye at the image's right, which the network sees in a mirror.
        """
        across, size = right - left, self._network.size
        side, angle = self.WIDTH * float(np.hypot(*across)), float(np.arctan2(across[1], across[0]))
        matrix = square_around((left + right) / 2, side, angle, size, mirrored=mirrored)
        outputs = self._network(sample_square(image, matrix, size, quick=True))
        iris = min(outputs, key=len).reshape(-1, 3)[0, :2].astype(np.float64) - 0.5
        center: Floats = matrix[:2, :2] @ iris + matrix[:2, 2]
        return center
