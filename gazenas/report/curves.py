"""Curves of a training run, from the rows of its metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gazenas.report.figure import save_figure
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import WORDS, Task

BLUE, RED, GREEN, GRAY = "#2b6cb0", "#c53030", "#2f855a", "#718096"
Rows = list[dict[str, Any]]


def draw_search(rows: Rows, target: float | None, path: Path, task: Task = GAZE) -> None:
    """Losses, penalty, MACs and validation error of a search against its epochs.

    Args:
        rows: of ``metrics.csv``.
        target: MACs, drawn as a line where they are the budget.
        path: of the PNG file.
        task: what is trained for.
    """
    epochs = [row["epoch"] + 1 for row in rows]
    figure = Figure((10, 7), layout="constrained")
    (loss, error), (penalty, macs) = figure.subplots(2, 2, sharex=True)
    key = task.key("val_error")
    _draw_losses(loss, rows, task)
    error.plot(epochs, _known(rows, key), "o-", color=RED)
    error.set(ylabel=_error_label(task), title="validation error")
    penalty.plot(epochs, [row["penalty"] for row in rows], "o-", color=GRAY)
    penalty.set(ylabel="lambda x penalty", xlabel="epoch", title="resource penalty in the loss")
    macs.step(epochs, [row["macs"] / 1e6 for row in rows], "o-", where="post", color=GREEN)
    if target is not None:
        macs.axhline(target / 1e6, color=GRAY, linestyle="--", label=f"target {target / 1e6:.2f} M")
        macs.legend()
    macs.set(ylabel="million MACs", xlabel="epoch", title="size after each epoch", ylim=(0, None))
    macs.xaxis.set_major_locator(MaxNLocator(integer=True))
    save_figure(figure, path)


def draw_finetuning(rows: Rows, best_epoch: int, path: Path, task: Task = GAZE) -> None:
    """Losses, learning rate and validation error of a fine-tuning against its epochs; ``best_epoch`` counts from 0."""
    key = task.key("val_error")
    epochs = [row["epoch"] + 1 for row in rows]
    figure = Figure((13, 4), layout="constrained")
    loss, rate, error = figure.subplots(1, 3)
    _draw_losses(loss, rows, task)
    loss.set(xlabel="epoch")
    rate.plot(epochs, [row["lr"] for row in rows], "o-", color=GRAY)
    rate.set(ylabel="learning rate", xlabel="epoch", title="schedule", yscale="log")
    known = _known(rows, key)
    error.plot(epochs, known, "o-", color=RED)
    error.plot(best_epoch + 1, known[best_epoch], "*", color=GREEN, markersize=16, label="kept")
    error.set(ylabel=_error_label(task), xlabel="epoch", title="validation error")
    error.legend()
    for axes in (loss, rate, error):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    save_figure(figure, path)


def _known(rows: Rows, column: str) -> list[float]:
    """A column; not a number, which leaves a gap, where it is empty."""
    return [float(row[column]) if row[column] != "" else float("nan") for row in rows]


def _draw_losses(axes: Axes, rows: Rows, task: Task) -> None:
    """Training and validation loss, where they are known."""
    for column, word, color in ((f"{task.name}_loss", "training", BLUE), (f"{task.name}_val_loss", "validation", RED)):
        points = [(row["epoch"] + 1, row[column]) for row in rows if row.get(column, "") != ""]
        if points:
            axes.plot(*zip(*points, strict=True), "o-", color=color, label=word)
    axes.set(ylabel=_loss_label(task), title="loss")
    axes.legend()


def _loss_label(task: Task) -> str:
    return f"{task.name.replace('_', ' ')} loss ({WORDS[task.unit]})"


def _error_label(task: Task) -> str:
    return f"mean {task.error_name.removeprefix('mean ')} ({task.error_word})"
