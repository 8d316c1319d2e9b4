"""Saving a figure: aside first, without a window system."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from gazenas.files import write_aside


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a PNG file; the matplotlib version is left out of it, so that equal pictures are equal files."""
    with write_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=110, metadata={"Software": None})
