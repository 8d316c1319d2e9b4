"""The pictures that belong to predictions on a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gazenas.data.dataset import GazeSplit
from gazenas.gaze import angular_error
from gazenas.report.faces import draw_contact_sheet, draw_extremes, draw_predictions
from gazenas.report.figure import save_figure

SHOWN = 10


def draw_prediction_plots(split: GazeSplit, predictions: NDArray[np.float32], folder: Path) -> list[Path]:
    """Writes ``predictions.png``, ``extremes.png`` and ``error_by_angle.png``; without labels only a contact sheet.

    Args:
        split: whose faces are shown.
        predictions: ``(N, 2)`` pitch and yaw in radians.
        folder: made where absent.
    """
    folder.mkdir(exist_ok=True)
    rows = np.unique(np.linspace(0, len(split) - 1, SHOWN).round().astype(np.int64))
    names = ["predictions.png", "extremes.png", "error_by_angle.png"]
    if split.gaze is None:
        draw_contact_sheet(split, rows, folder / names[0], f"{split.name} faces; their gaze is not known")
        return [folder / names[0]]
    errors = angular_error(predictions, split.gaze)
    draw_predictions(split, predictions, rows, folder / names[0])
    draw_extremes(split, predictions, errors, folder / names[1])
    draw_error_by_angle(split.gaze, errors, folder / names[2])
    return [folder / name for name in names]


def draw_error_by_angle(gaze: NDArray[np.float32], errors: NDArray[np.float32], path: Path) -> None:
    """Mean error against true yaw and pitch in bins of ten degrees, with a band of one deviation and bin counts."""
    figure = Figure((11, 4.4), layout="constrained")
    for axes, column, name in zip(figure.subplots(1, 2, sharey=True), (1, 0), ("yaw", "pitch"), strict=True):
        angle = np.rad2deg(gaze[:, column])
        bins = np.floor(angle / 10).astype(int)
        present = [number for number in np.unique(bins) if (bins == number).sum() >= 3]
        centers = np.array([10 * number + 5 for number in present])
        means = np.array([errors[bins == number].mean() for number in present])
        spread = np.array([errors[bins == number].std() for number in present])
        axes.fill_between(
            centers, np.maximum(means - spread, 0), means + spread, color="#2b6cb0", alpha=0.2, label="one deviation"
        )
        axes.plot(centers, means, "o-", color="#2b6cb0", label="mean")
        axes.set(
            xlabel=f"true {name} (degrees)",
            ylabel="angular error (degrees)",
            title=f"error against {name}",
            ylim=(0, None),
        )
        counts = axes.twinx()
        counts.bar(centers, [(bins == number).sum() for number in present], width=8, color="#718096", alpha=0.25)
        counts.set_ylabel("images in the bin")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    save_figure(figure, path)
