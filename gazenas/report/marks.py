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


MARKS: dict[str, Mark] = {"gaze": draw_arrow, "head_pose": draw_head_axes}
