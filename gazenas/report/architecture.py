"""An architecture as a picture: the paper's Fig. 5 with what was found."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gazenas.models.build import full_architecture
from gazenas.report.figure import save_figure
from gazenas.space.architecture import Architecture
from gazenas.space.search_space import CHANNEL, BlockSpec, SearchSpace

COLORS = {
    "3": "#2b6cb0",
    "5": "#38a169",
    "7": "#d69e2e",
    "token": "#c53030",
    "hidden": "#b83280",
    CHANNEL: "#4a5568",
}
LABELS = {"token": "tokens", "hidden": "hidden", CHANNEL: "stream"}  # kernel sizes go by their number
OTHER = "#805ad5"
INK, PALE, FAINT = "#2d3748", "#edf2f7", "#cbd5e0"
WIDE, HIGH, GAP = 0.86, 0.78, 0.3
NARROW, STEP = 0.42, 0.54  # of a stream's bar, and from one to the next
HEADINGS, TITLES = 0.72, 0.5  # heights of the words above the first branch


def block_widths(arch: Architecture, name: str) -> dict[str, int]:
    """Units by group of one block, all operators together."""
    return {group: count for groups in arch.kept[name].values() for group, count in groups.items()}


def group_label(group: str) -> str:
    """What a unit group is called in pictures and tables: ``3x3``, ``tokens``, ``hidden``, ``stream``."""
    return f"{group}x{group}" if group.isdigit() else LABELS.get(group, group)


def draw_architecture(arch: Architecture, path: Path) -> None:
    """Branches from top to bottom, blocks from left to right; bars show how many units of each group survive.

    Behind the stem and behind every stage stands the width of each stream, over that offered where streams are
    searched.
    """
    space = arch.space
    figure = Figure((1.2 * _columns(space) + 0.8, 1.2 + 1.75 * space.branches), layout="constrained")
    axes = figure.subplots()
    drawing = _Drawing(axes, arch)
    streams = iter(space.streams())
    x = drawing.stem(0.0, streams)
    for number, stage in enumerate(space.stages):
        begin = x
        x = drawing.blocks(x, "fusion", space.fusion_blocks(number))
        x = drawing.blocks(x, "parallel", space.parallel_blocks(number))
        for row, name in enumerate(islice(streams, len(stage.channels)), 1):
            drawing.stream((x, row), name)
        x = drawing.end(begin, x + STEP, f"stage {number + 1}")
    drawing.head(x)
    drawing.legend()
    axes.set(xlim=(-0.65, x + WIDE + 0.05), ylim=(space.branches + 1, 0.3))
    axes.set_axis_off()
    axes.set_title(
        f"{space.name} at {space.input_size} pixels, architecture {arch.fingerprint()}:\n"
        "what survives of each unit group, over what is offered",
        fontsize=10,
    )
    save_figure(figure, path)


class _Drawing:
    """The parts of the picture; each takes where it begins and gives where the next one does."""

    def __init__(self, axes: Any, arch: Architecture) -> None:
        self.axes, self.arch, self.space = axes, arch, arch.space
        self.full = full_architecture(arch.space)
        self.used: dict[str, None] = {}
        for row in range(self.space.branches):
            axes.text(-0.12, row + 1 + HIGH / 2, f"branch {row + 1}", ha="right", va="center", fontsize=9)

    def stem(self, x: float, streams: Iterator[str]) -> float:
        """The image with the window that is read, and the width behind every convolution."""
        side = self.space.input_size
        top, bottom, left, right = self.space.window or (0, side, 0, side)
        self._box((x, 1), PALE)
        corner = (x + WIDE * left / side, 1 + HIGH * top / side)
        size = (WIDE * (right - left) / side, HIGH * (bottom - top) / side)
        self.axes.add_patch(Rectangle(corner, *size, color=FAINT, lw=0))
        self._say((x, 1), f"reads\n{bottom - top}x{right - left}" if self.space.window else f"{side}x{side}", INK)
        self._name((x, 1), "image")
        begin, x = x, x + 1
        for name in islice(streams, len(self.space.stem)):
            self.stream((x, 1), name)
            x += STEP
        return self.end(begin, x, "stem")

    def blocks(self, x: float, module: str, specs: list[BlockSpec]) -> float:
        """A column for each input branch of a fusion module, or for each block of the longest branch of a parallel
        one."""
        columns = sorted({_column(spec) for spec in specs})
        for spec in specs:
            self._block((x + columns.index(_column(spec)), spec.branch + 1), _label(spec), spec)
        if columns:
            self.axes.text(x + len(columns) / 2, HEADINGS, module, ha="center", fontsize=9, color="#4a5568")
        return x + len(columns)

    def stream(self, corner: tuple[float, int], name: str) -> None:
        """A stream's width as an upright bar, under how many times smaller than what is read its map is."""
        x, y = corner
        kept, most = self.arch.stream_widths()[name], self.space.streams()[name]
        searched = name in self.space.searched_streams()
        color, height = (COLORS[CHANNEL], HIGH * kept / most) if searched else (FAINT, HIGH)
        self.axes.add_patch(Rectangle((x, y), NARROW, HIGH, facecolor=COLORS[CHANNEL], alpha=0.15, lw=0))
        self.axes.add_patch(Rectangle((x, y + HIGH - height), NARROW, height, facecolor=color, alpha=0.6, lw=0))
        text = f"{kept}/{most}" if searched else f"{kept}"
        self.axes.text(x + NARROW / 2, y + HIGH / 2, text, ha="center", va="center", fontsize=6.5)
        self._name(corner, f"1/{self.space.reductions()[name]}")
        if searched:
            self.used[CHANNEL] = None

    def head(self, x: float) -> None:
        """A box beside every branch that the head reads."""
        rows = self.space.branches
        self.axes.add_patch(Rectangle((x, 1), WIDE, rows - 1 + HIGH, facecolor=PALE, edgecolor=INK, lw=1))
        text = f"{self.space.head['kind']}\nhead"
        self.axes.text(x + WIDE / 2, 1 + (rows - 1 + HIGH) / 2, text, ha="center", va="center", fontsize=7, color=INK)

    def end(self, begin: float, x: float, title: str) -> float:
        """What stands from ``begin`` to ``x`` gets a title and a line behind it."""
        self.axes.text((begin + x) / 2, TITLES, title, ha="center", fontsize=11, weight="bold")
        self.axes.axvline(x + GAP / 2 - 0.1, color=FAINT, lw=1)
        return x + GAP

    def legend(self) -> None:
        """The colors of the groups that were drawn."""
        used = sorted(self.used, key=[*COLORS, *self.used].index)
        handles = [Rectangle((0, 0), 1, 1, color=COLORS.get(group, OTHER)) for group in used]
        if handles:
            words = [group_label(group) for group in used]
            self.axes.legend(
                handles, words, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=len(used), frameon=False
            )

    def _block(self, corner: tuple[float, int], label: str, spec: BlockSpec) -> None:
        """One block as a box with a bar a group."""
        x, y = corner
        kept, full = block_widths(self.arch, spec.name), block_widths(self.full, spec.name)
        self._name(corner, label)
        self._box(corner, "none" if any(kept.values()) else PALE, INK if any(kept.values()) or not full else "#a0aec0")
        if not any(kept.values()):
            kernel = self.space.residual_kernel
            plain = f"{kernel}x{kernel}" + (f"\nstride {spec.stride}" if spec.stride > 1 else "")
            self._say(corner, "residual\nonly" if full else plain, "#718096" if full else INK)
            return
        step = HIGH / len(full)
        for index, (group, most) in enumerate(full.items()):
            top, color = y + index * step + 0.12 * step, COLORS.get(group, OTHER)
            for share, alpha in ((1.0, 0.15), (kept[group] / most, 0.85)):
                bar = Rectangle((x + 0.04, top), (WIDE - 0.08) * share, 0.76 * step, color=color, alpha=alpha, lw=0)
                self.axes.add_patch(bar)
            self._say((x, top + 0.38 * step - HIGH / 2), f"{kept[group]}/{most}", "black", 6.5)
            self.used[group] = None

    def _box(self, corner: tuple[float, float], color: str, edge: str = INK) -> None:
        self.axes.add_patch(Rectangle(corner, WIDE, HIGH, facecolor=color, edgecolor=edge, lw=1))

    def _name(self, corner: tuple[float, float], text: str) -> None:
        self.axes.text(corner[0] + 0.03, corner[1] - 0.02, text, fontsize=6.5, va="bottom", color=INK)

    def _say(self, corner: tuple[float, float], text: str, color: str, size: float = 7) -> None:
        middle = (corner[0] + WIDE / 2, corner[1] + HIGH / 2)
        self.axes.text(*middle, text, ha="center", va="center", fontsize=size, color=color)


def _columns(space: SearchSpace) -> float:
    """How wide the picture is, in blocks."""
    blocks = sum(
        len({_column(spec) for spec in specs})
        for number in range(len(space.stages))
        for specs in (space.fusion_blocks(number), space.parallel_blocks(number))
    )
    return 3 + blocks + STEP * (len(space.stem) + len(space.stages)) + GAP * (1 + len(space.stages))


def _column(spec: BlockSpec) -> int:
    """Where a block stands in its module: its input branch in a fusion module, its depth in a parallel one."""
    return spec.depth if spec.role == "parallel" else spec.source_branch


def _label(spec: BlockSpec) -> str:
    """What stands above a block."""
    labels = {
        "join": f"from branch {spec.source_branch + 1}",
        "opening": "new",
        "parallel": f"block {spec.depth + 1}",
    }
    return labels[spec.role]
