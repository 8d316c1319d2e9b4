"""Faces with arrows along the gaze, or with what another task predicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gazenas.data.dataset import GazeSplit
from gazenas.report.figure import save_figure
from gazenas.report.marks import MARKS
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import UNITS, Task

TRUE, ESTIMATED = "#22c55e", "#ef4444"
Rows = NDArray[np.int64]


def draw_face(
    axes: Any, image: NDArray[np.uint8], marks: Sequence[tuple[Any, str]], title: str = "", task: Task = GAZE
) -> None:
    """One face and on it at most two labels, each with its color, the first in wider lines."""
    size = image.shape[0]
    axes.imshow(image, interpolation="nearest" if size < 100 else "antialiased")
    for width, (labels, color) in zip((2.6, 1.3), marks, strict=False):
        MARKS[task.name](axes, labels, size, color, width)
    axes.set(xlim=(0, size - 1), ylim=(size - 1, 0), xticks=[], yticks=[])
    axes.set_title(title, fontsize=7, pad=2)


def draw_contact_sheet(split: GazeSplit, rows: Rows, path: Path, title: str, task: Task = GAZE) -> None:
    """Faces at ``rows`` of a split with their true labels, where known, and angles in degrees."""
    images, labels = split.images(rows), task.labels(split)
    columns = min(8, len(rows))
    height = -(-len(rows) // columns)
    figure = Figure((1.45 * columns, 1.6 * height + 0.5), layout="constrained")
    grid = np.atleast_1d(figure.subplots(height, columns)).reshape(-1)
    for axes in grid:
        axes.set_axis_off()
    for axes, image, row in zip(grid, images, rows, strict=False):
        axes.set_axis_on()
        said = split.people[split.person[row]]
        if labels is not None and task.unit == "rad":
            named = zip(task.outputs, np.rad2deg(labels[row]), strict=True)
            said += "\n" + " ".join(f"{name} {value:.0f}\u00b0" for name, value in named)
        draw_face(axes, image, [] if labels is None else [(labels[row], TRUE)], said, task)
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def draw_predictions(
    split: GazeSplit, predictions: NDArray[np.float32], rows: Rows, path: Path, task: Task = GAZE
) -> None:
    """Three rows as in the paper's Fig. 6: true gaze, estimated gaze, both."""
    labels = task.need(split, split.name)
    images = split.images(rows)
    figure = Figure((1.45 * len(rows), 5.0), layout="constrained")
    grid = figure.subplots(3, len(rows), squeeze=False)
    for column, row in enumerate(rows):
        true, estimated = (labels[row], TRUE), (predictions[row], ESTIMATED)
        for line, marks in enumerate(([true], [estimated], [true, estimated])):
            draw_face(grid[line, column], images[column], marks, task=task)
    for line, label in enumerate(("true", "estimated", "both")):
        grid[line, 0].set_ylabel(label, fontsize=9)
    what = task.name.replace("_", " ")
    figure.suptitle(f"{what} of {split.name} images: true in green, estimated in red", fontsize=10)
    save_figure(figure, path)


def draw_extremes(
    split: GazeSplit,
    predictions: NDArray[np.float32],
    errors: NDArray[np.float32],
    path: Path,
    each: int = 16,
    task: Task = GAZE,
) -> None:
    """The ``each`` best and the ``each`` worst images, with their errors."""
    labels, sign = task.need(split, split.name), UNITS[task.error_unit][0]
    order = np.argsort(errors, kind="stable")
    each = min(each, len(order) // 2)
    chosen = [order[:each], order[::-1][:each]]
    figure = Figure((12, 7.2), layout="constrained")
    halves: Any = figure.subfigures(2, 1)
    for half, rows, name in zip(halves, chosen, ("best", "worst"), strict=True):
        grid: Any = half.subplots(2, -(-max(each, 2) // 2)).reshape(-1)
        for axes, image, row in zip(grid, split.images(rows), rows, strict=False):
            marks = [(labels[row], TRUE), (predictions[row], ESTIMATED)]
            draw_face(axes, image, marks, f"{errors[row]:.1f}{sign}", task)
        half.suptitle(
            f"the {each} {name} of {len(order)} {split.name} images: true in green, estimated in red", fontsize=10
        )
    save_figure(figure, path)
