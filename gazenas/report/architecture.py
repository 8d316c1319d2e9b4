"""An architecture as a picture: the paper's Fig. 5 with what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gazenas.architecture import Architecture
from gazenas.models.builders import full_architecture
from gazenas.report.figure import save_figure

COLOURS = {"3": "#2b6cb0", "5": "#38a169", "7": "#d69e2e", "token": "#c53030"}
LABELS = {"3": "3x3", "5": "5x5", "7": "7x7", "token": "tokens"}
WIDE, HIGH, GAP = 0.86, 0.78, 0.55
Widths = dict[str, int]


def block_widths(arch: Architecture, name: str) -> Widths:
    """Units by group of one block, all operators together."""
    return {group: count for groups in arch.kept[name].values() for group, count in groups.items()}


def draw_architecture(arch: Architecture, path: Path) -> None:
    """Branches from top to bottom, blocks from left to right; bars show how many units of each group survive."""
    space, full = arch.space, full_architecture(arch.space)
    figure = Figure((3 + 1.2 * _columns(arch), 1.0 + 1.75 * space.branches), layout="constrained")
    axes = figure.subplots()
    x = 0.0
    used: dict[str, None] = {}
    for number, stage in enumerate(space.stages):
        begin = x
        specs = space.fusion_blocks(number)
        sources = sorted({_source(spec.name) for spec in specs})
        for spec in specs:
            to = int(spec.name.split(".")[2][6:])
            source = _source(spec.name)
            label = "new" if spec.name.endswith("new") else f"from branch {source}"
            place = (x + sources.index(source), to)
            used |= dict.fromkeys(
                _draw_block(axes, place, label, block_widths(arch, spec.name), block_widths(full, spec.name))
            )
        x += len(sources)
        axes.text((begin + x) / 2, 0.72, "fusion", ha="center", fontsize=9, color="#4a5568")
        middle = x
        for spec in space.parallel_blocks(number):
            _, _, branch, block = spec.name.split(".")
            place = (x + int(block[5:]) - 1, int(branch[6:]))
            used |= dict.fromkeys(
                _draw_block(
                    axes, place, "block " + block[5:], block_widths(arch, spec.name), block_widths(full, spec.name)
                )
            )
        x += max(stage.blocks)
        axes.text((middle + x) / 2, 0.72, "parallel", ha="center", fontsize=9, color="#4a5568")
        axes.text((begin + x) / 2, 0.5, f"stage {number + 1}", ha="center", fontsize=11, weight="bold")
        axes.axvline(x + GAP / 2 - 0.07, color="#cbd5e0", lw=1)
        x += GAP
    _label(axes, arch, list(used))
    axes.set(xlim=(-1.2, x), ylim=(space.branches + 1, 0.3))
    axes.set_axis_off()
    axes.set_title(
        f"{space.name} at {space.input_size} pixels, architecture {arch.fingerprint()}: surviving units of each kernel and tokens, over those offered",
        fontsize=10,
    )
    save_figure(figure, path)


def _label(axes: Any, arch: Architecture, used: list[str]) -> None:
    """Branches on the left, the colours of the groups below."""
    space = arch.space
    for row in range(space.branches):
        channels = space.stages[-1].channels[row]
        axes.text(
            -0.15,
            row + 1.4,
            f"branch {row + 1}\n1/{4 << row}, {channels} ch",
            ha="right",
            va="center",
            fontsize=9,
        )
    used = sorted(used, key=[*COLOURS, *used].index)
    handles = [Rectangle((0, 0), 1, 1, color=_colour(group)) for group in used]
    axes.legend(
        handles,
        [LABELS.get(group, f"{group}x{group}") for group in used],
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncols=len(used),
        frameon=False,
    )


def _columns(arch: Architecture) -> int:
    space = arch.space
    return sum(
        len({_source(s.name) for s in space.fusion_blocks(n)}) + max(stage.blocks)
        for n, stage in enumerate(space.stages)
    )


def _source(name: str) -> int:
    """The input branch of a fusion block, from 1."""
    _, _, to, source = name.split(".")
    return int(to[6:]) - 1 if source == "new" else int(source[4:])


def _colour(group: str) -> str:
    return COLOURS.get(group, "#805ad5")


def _draw_block(axes: Any, place: tuple[float, int], label: str, kept: Widths, full: Widths) -> list[str]:
    """One block as a box with a bar a group; gives the groups drawn."""
    x, y = place
    alive = any(kept.values())
    axes.add_patch(
        Rectangle(
            (x, y), WIDE, HIGH, fill=not alive, facecolor="#edf2f7", edgecolor="#2d3748" if alive else "#a0aec0", lw=1
        )
    )
    axes.text(x + 0.03, y - 0.02, label, fontsize=6.5, va="bottom", color="#2d3748")
    if not alive:
        axes.text(x + WIDE / 2, y + HIGH / 2, "residual\nonly", ha="center", va="center", fontsize=7, color="#718096")
        return []
    step = HIGH / len(full)
    for index, (group, most) in enumerate(full.items()):
        top = y + index * step + 0.12 * step
        axes.add_patch(Rectangle((x + 0.04, top), WIDE - 0.08, 0.76 * step, color=_colour(group), alpha=0.15, lw=0))
        axes.add_patch(
            Rectangle(
                (x + 0.04, top), (WIDE - 0.08) * kept[group] / most, 0.76 * step, color=_colour(group), alpha=0.85, lw=0
            )
        )
        axes.text(x + WIDE / 2, top + 0.38 * step, f"{kept[group]}/{most}", ha="center", va="center", fontsize=6.5)
    return list(full)
