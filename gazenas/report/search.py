"""What a search did to importance factors, and the family of networks that it passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from gazenas.evaluation.experiment import ErrorRow
from gazenas.report.curves import BLUE, GRAY, GREEN, RED
from gazenas.report.figure import save_figure
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task


def draw_importances(histograms: Sequence[Mapping[str, Any]], path: Path) -> None:
    """How importance factors were distributed just before each shrink; what went in red, what stayed in blue.

    Args:
        histograms: with ``epoch``, and counts of ``removed`` and ``kept`` units in equal bins of abs(alpha) from 0 to
            1.25.
        path: of the PNG file.
    """
    columns = min(4, max(1, len(histograms)))
    rows = -(-len(histograms) // columns) or 1
    figure = Figure((4.2 * columns, 2.9 * rows), layout="constrained")
    axes = np.atleast_1d(np.asarray(figure.subplots(rows, columns, squeeze=False))).ravel()
    for number, (panel, counts) in enumerate(zip(axes, histograms, strict=False), 1):
        edges = np.linspace(0, 1.25, len(counts["kept"]) + 1)
        panel.stairs(counts["kept"], edges, color=BLUE, fill=True, alpha=0.6, label=f"stay: {sum(counts['kept'])}")
        panel.stairs(counts["removed"], edges, color=RED, fill=True, alpha=0.6, label=f"go: {sum(counts['removed'])}")
        panel.set(title=f"before shrink {number}, in epoch {counts['epoch'] + 1}", xlabel="abs(alpha)", yscale="symlog")
        panel.set_ylabel("units")
        panel.legend(fontsize=8)
    for panel in axes[len(histograms) :]:
        panel.set_axis_off()
    save_figure(figure, path)


def draw_family(members: Sequence[Mapping[str, Any]], path: Path, task: Task = GAZE) -> None:
    """Error against MACs of the networks that one search froze on its way down, on the people for whom it is known."""
    members = sorted(members, key=lambda member: float(member["macs"]))
    figure = Figure((6.5, 4.5), layout="constrained")
    axes = figure.subplots()
    macs = [member["macs"] / 1e6 for member in members]
    val, test = task.key("val_error"), task.key("test_error")
    lines = {val: ("validation people", GRAY), test: ("test people", RED)}
    known = [key for key in lines if all(member[key] is not None for member in members)]
    for key in known:
        axes.plot(macs, [member[key] for member in members], "o-", color=lines[key][1], label=lines[key][0])
    for member, x in zip(members if known else [], macs, strict=False):
        axes.annotate(f"{member['params'] / 1e3:.0f} k", (x, member[known[0]]), fontsize=8, color=GRAY)
    axes.set(xlabel="million MACs (parameters at the points)", ylabel=f"mean error ({task.error_word})")
    axes.set_title("frozen on the way down, not fine-tuned")
    if known:
        axes.legend()
    save_figure(figure, path)


def draw_control(errors: Mapping[str, ErrorRow], measured_on: str, path: Path, task: Task = GAZE) -> None:
    """Errors of the found network and of those beside it, a point a seed and a bar at the mean, with seconds of
    training.

    Args:
        errors: by kind of network; each with a mean of ``seconds``.
        measured_on: whose errors they are, ``test`` or ``val`` people.
        path: of the PNG file.
        task: what was trained for.
    """
    figure = Figure((max(6.0, 1.4 * len(errors)), 4.2), layout="constrained")
    axes = figure.subplots()
    colors = {"found": RED, "handmade": GREEN}
    for x, (kind, row) in enumerate(errors.items()):
        axes.plot([x] * len(row.errors), [*row.errors.values()], "o", color=GRAY)
        axes.hlines(row.mean, x - 0.25, x + 0.25, color=colors.get(kind, BLUE), lw=3)
    axes.set_xticks(range(len(errors)), [f"{kind}\n{row.means['seconds']:.0f} s" for kind, row in errors.items()])
    people = {"test": "test", "val": "validation"}[measured_on]
    axes.set(ylabel=f"mean error on {people} people ({task.error_word})")
    axes.set_title("the same budget, data and passes; a point a seed")
    save_figure(figure, path)
