"""How what a network predicts is drawn onto an image, by task.

``MARKS`` maps tasks to functions; a new task is one line here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.patches import FancyArrowPatch
from numpy.typing import NDArray

from gazenas.gaze import angles_to_vectors
from gazenas.tasks.head_pose import pose_to_rotation

Labels = NDArray[np.floating[Any]]
Mark = Callable[[Any, Labels, int, str, float], None]  # axes, one image's labels, its side, color, width of lines


def draw_arrow(axes: Any, gaze: Labels, size: int, color: str, width: float) -> None:
    """From the image's middle along the image-plane part of ``(pitch, yaw)``."""
    x, y, _ = angles_to_vectors(np.asarray(gaze, np.float64)) * 0.45 * size
    _arrow(axes, size, x, y, color, width)


def draw_head_axes(axes: Any, pose: Labels, size: int, color: str, width: float) -> None:
    """An arrow where the face points, and thinner lines toward its right (in the image, of a face that looks into the
    camera) and its chin."""
    right, chin, back = pose_to_rotation(np.asarray(pose, np.float64)[None])[0].T * 0.45 * size
    for x, y, _ in (right, chin):
        axes.plot([size / 2, size / 2 + x / 2], [size / 2, size / 2 + y / 2], color=color, lw=width / 2)
    _arrow(axes, size, -back[0], -back[1], color, width)


def draw_eye_landmarks(axes: Any, landmarks: Labels, size: int, color: str, width: float) -> None:
    """The pupil's outline and a small cross at each glint."""
    x, y, wide, high, slant = np.asarray(landmarks[:5], np.float64)
    across = slant * np.sqrt(max(wide * high, 0.0))
    values, vectors = np.linalg.eigh(np.array([[wide**2, across], [across, high**2]]))
    turn = np.linspace(0, 2 * np.pi, 60)
    circle = np.stack([np.cos(turn), np.sin(turn)]) * np.sqrt(np.maximum(values, 0))[:, None]
    outline = vectors @ circle
    axes.plot(x + outline[0], y + outline[1], color=color, lw=width / 2)
    glints = np.asarray(landmarks[5:]).reshape(-1, 2)
    axes.plot(glints[:, 0], glints[:, 1], "+", color=color, ms=3 + width, mew=width / 2)


def draw_screen_point(axes: Any, point: Labels, size: int, color: str, width: float) -> None:
    """A dot and a line to it from the image's middle, which stands for the camera, half an image for 25 cm."""
    x, y = size / 2 + np.asarray(point, np.float64) * size / 50
    axes.plot([size / 2, x], [size / 2, y], color=color, lw=width / 2)
    axes.plot([x], [y], "o", color=color, ms=2 + width)


def _arrow(axes: Any, size: int, x: float, y: float, color: str, width: float) -> None:
    arrow = FancyArrowPatch(
        (size / 2, size / 2),
        (size / 2 + x, size / 2 + y),
        arrowstyle="-|>",
        mutation_scale=6 * width,
        shrinkA=0,
        shrinkB=0,
    )
    arrow.set(color=color, linewidth=width)
    axes.add_patch(arrow)


MARKS: dict[str, Mark] = {
    "gaze": draw_arrow,
    "head_pose": draw_head_axes,
    "eye_landmarks": draw_eye_landmarks,
    "screen_point": draw_screen_point,
}
