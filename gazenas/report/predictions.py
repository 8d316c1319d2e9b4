"""The pictures that belong to predictions on a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gazenas.data.dataset import GazeSplit
from gazenas.report.faces import draw_contact_sheet, draw_extremes, draw_predictions
from gazenas.report.figure import save_figure
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import WORDS, Task

SHOWN = 10


def draw_prediction_plots(
    split: GazeSplit, predictions: NDArray[np.float32], folder: Path, task: Task = GAZE
) -> list[Path]:
    """Writes ``predictions.png``, ``extremes.png`` and ``error_by_angle.png`` (``error_by_label.png`` where labels are
    no angles); without labels only a contact sheet.

    Args:
        split: whose images are shown.
        predictions: ``(N, outputs)`` of the task.
        folder: made where absent.
        task: what is predicted.
    """
    folder.mkdir(exist_ok=True)
    rows = np.unique(np.linspace(0, len(split) - 1, SHOWN).round().astype(np.int64))
    names = ["predictions.png", "extremes.png", f"error_by_{'angle' if task.unit == 'rad' else 'label'}.png"]
    labels = task.labels(split)
    if labels is None:
        draw_contact_sheet(split, rows, folder / names[0], f"{split.name} faces; their gaze is not known")
        return [folder / names[0]]
    errors = task.error(predictions, labels)
    draw_predictions(split, predictions, rows, folder / names[0], task)
    draw_extremes(split, predictions, errors, folder / names[1], task=task)
    draw_error_by_label(labels, errors, folder / names[2], task)
    return [folder / name for name in names]


def draw_error_by_label(
    labels: NDArray[np.float32], errors: NDArray[np.float32], path: Path, task: Task = GAZE
) -> None:
    """Mean error against true yaw, pitch and so on, at most three labels, in bins of ten degrees or pixels, with a band
    of one deviation and bin counts."""
    columns = (1, 0, 2)[: len(task.outputs)]
    unit = "degrees" if task.unit == "rad" else WORDS[task.unit]
    figure = Figure((5.5 * len(columns), 4.4), layout="constrained")
    for axes, column in zip(figure.subplots(1, len(columns), sharey=True), columns, strict=True):
        name = task.outputs[column]
        values = np.rad2deg(labels[:, column]) if task.unit == "rad" else labels[:, column]
        bins = np.floor(values / 10).astype(int)
        present = [number for number in np.unique(bins) if (bins == number).sum() >= 3]
        centers = np.array([10 * number + 5 for number in present])
        means = np.array([errors[bins == number].mean() for number in present])
        spread = np.array([errors[bins == number].std() for number in present])
        axes.fill_between(
            centers, np.maximum(means - spread, 0), means + spread, color="#2b6cb0", alpha=0.2, label="one deviation"
        )
        axes.plot(centers, means, "o-", color="#2b6cb0", label="mean")
        axes.set(
            xlabel=f"true {name} ({unit})",
            ylabel=f"{task.error_name} ({task.error_word})",
            title=f"error against {name}",
            ylim=(0, None),
        )
        counts = axes.twinx()
        counts.bar(centers, [(bins == number).sum() for number in present], width=8, color="#718096", alpha=0.25)
        counts.set_ylabel("images in the bin")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    save_figure(figure, path)
