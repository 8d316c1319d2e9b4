"""What each stage of a compression gains and loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from gazenas.report.figure import save_figure


def draw_compression(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Error against bytes and against milliseconds, a point a stage; the line follows their order.

    Args:
        rows: of ``stages.csv``.
        path: of the PNG file.
    """
    figure = Figure((10, 4.2), layout="constrained")
    sides = figure.subplots(1, 2, sharey=True)
    for axes, key, label in zip(sides, ("size", "ms"), ("bytes on disk", "milliseconds an image"), strict=True):
        axes.plot([row[key] for row in rows], [row["error"] for row in rows], "-", color="#a0aec0", zorder=1)
        for row in rows:
            axes.plot(row[key], row["error"], "o", label=row["stage"], zorder=2)
        axes.set(xlabel=label, xlim=(0, None))
        axes.grid(alpha=0.3)
    sides[0].set(ylabel="mean angular error on validation people (degrees)", title="error against size")
    sides[1].set(title="error against time, one thread")
    sides[1].legend(fontsize=8)
    save_figure(figure, path)
