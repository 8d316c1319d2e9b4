"""Error against size, and distributions of latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TABLEAU_COLORS
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from gazenas.report.curves import BLUE, RED
from gazenas.report.figure import save_figure
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task

MARKERS = ("o", "s", "^", "D")


def draw_comparison(rows: Sequence[Mapping[str, Any]], path: Path, task: Task = GAZE) -> None:
    """Mean error (with the spread over seeds) against MACs, parameters and latency on one thread.

    Args:
        rows: with ``name``, ``macs``, ``params``, ``median_ms_1``, and ``error`` and ``spread`` with the end of the
            task's unit, such as ``error_deg``; rows that lack a number are left out of the panels that need it, and a
            panel is left out where no row has its number.
        path: of the PNG file.
        task: what was predicted.
    """
    rows = [row for row in rows if row.get(task.key("error")) is not None]
    titles = {"macs": "MACs", "params": "parameters", "median_ms_1": "median milliseconds on one thread"}
    panels = {key: title for key, title in titles.items() if any(row.get(key) for row in rows)} or titles
    figure = Figure((5 * len(panels) + 2, 4.5), layout="constrained")
    subplots = figure.subplots(1, len(panels), squeeze=False)[0]
    looks = [{"fmt": marker, "color": color} for marker, color in product(MARKERS, TABLEAU_COLORS)]
    styles = dict(zip((row["name"] for row in rows), cycle(looks), strict=False))
    marks: dict[str, Any] = {}  # a legend takes containers, though its types say artists
    for axes, (key, title) in zip(subplots, panels.items(), strict=True):
        shown = [row for row in rows if row.get(key)]
        for row in shown:
            spread = row.get(task.key("spread")) or 0.0
            look = styles[row["name"]]
            marks[row["name"]] = axes.errorbar(row[key], row[task.key("error")], yerr=spread, capsize=3, **look)
        axes.set(xlabel=title, ylabel=f"mean {task.error_name} ({task.error_word})")
        _in_decades(axes)
        if shown:
            axes.set_xlim(min(row[key] for row in shown) / 1.8, max(row[key] for row in shown) * 1.8)
        axes.margins(y=0.1)
        axes.grid(alpha=0.3)
    figure.legend(list(marks.values()), list(marks), loc="outside right center", frameon=False)
    save_figure(figure, path)


def draw_latency(latencies: Mapping[str, Mapping[str, NDArray[np.float64]]], path: Path) -> None:
    """A line a model with a mark for every run and a dot at the median, and a panel a number of threads.

    Args:
        latencies: milliseconds ``(repeats,)`` by number of threads and model.
        path: of the PNG file.
    """
    names = list(next(iter(latencies.values())))
    figure = Figure((12, 1.5 + 0.45 * len(names)), layout="constrained")
    for axes, (threads, by_model) in zip(
        figure.subplots(1, len(latencies), squeeze=False)[0], latencies.items(), strict=True
    ):
        for height, name in enumerate(names):
            values = by_model[name]
            axes.plot(values, np.full(len(values), height), "|", color=BLUE, alpha=0.5, markersize=14)
            axes.plot([np.median(values)], [height], "o", color=RED, markersize=5)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="milliseconds an image", title=threads)
        _in_decades(axes)
        axes.grid(alpha=0.3, axis="x")
        axes.invert_yaxis()
    save_figure(figure, path)


def _in_decades(axes: Axes) -> None:
    """A logarithmic axis with marks at 1, 2 and 5, as 5 k or 20 M."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
