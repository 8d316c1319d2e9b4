"""Charts as SVG for a page: their colors follow the page's, and each mark says its numbers to a pointer or a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from matplotlib.ticker import MaxNLocator

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 76, 14, 12, 46
TICKS = 5
UNITS = ((1e9, "G"), (1e6, "M"), (1e4, "k"))  # from when on, and in what; k counts thousands
Points = Sequence[tuple[float, float]]


def line_chart(series: Mapping[str, Points], *, x: str, y: str, from_zero: bool = True, up_to: float = 0.0) -> str:
    """Lines with a mark a point.

    Args:
        series: points by name; those that are not finite are left out.
        x, y: what the axes are.
        from_zero: whether the y axis begins at 0.
        up_to: what the y axis reaches at least, so that two charts can be compared.

    Returns:
        An ``<svg>`` element; empty where there is no point.
    """
    kept = {
        name: [(float(a), float(b)) for a, b in points if a == a and b == b and abs(b) != float("inf")]
        for name, points in series.items()
    }
    everything = [point for points in kept.values() for point in points]
    if not everything:
        return ""
    across = _Axis([a for a, _ in everything], LEFT, WIDTH - RIGHT, from_zero=False)
    up = _Axis([*(b for _, b in everything), *([up_to] if up_to else [])], HEIGHT - BOTTOM, TOP, from_zero=from_zero)
    parts = _frame(across, up, x, y)
    for number, (name, points) in enumerate(kept.items()):
        where = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in points)
        parts.append(f'<polyline class="c{number % 6}" points="{where}" fill="none" stroke-width="2"/>')
        for a, b in points:
            title = f"{name}: {_short(b)} at {x} {_short(a)}"
            parts.append(
                f'<circle class="c{number % 6}" cx="{across(a):.1f}" cy="{up(b):.1f}" r="3.5">'
                f"<title>{escape(title)}</title></circle>"
            )
    ends = {name: (points[0][1], points[-1][1]) for name, points in kept.items() if points}
    said = "; ".join(f"{name} from {_short(first)} to {_short(last)}" for name, (first, last) in ends.items())
    return _svg(parts, f"{y} against {x}: {said}")


def bar_rows(rows: Sequence[tuple[str, float, float, str]]) -> str:
    """A table of bars, one a row, each over the full amount.

    Args:
        rows: name, amount, full amount, and what the bar says in words.
    """
    lines = []
    for name, amount, full, words in rows:
        share = amount / full if full else 0.0
        lines.append(
            f'<tr tabindex="0"><th scope="row">{escape(name)}</th><td class="bar" title="{escape(words, quote=True)}">'
            f'<div><span style="width:{100 * share:.1f}%"></span></div></td><td class="words">{escape(words)}</td></tr>'
        )
    return f'<table class="bars">{"".join(lines)}</table>'


class _Axis:
    """From values to pixels; its ends are round numbers."""

    def __init__(self, values: Sequence[float], begin: float, end: float, *, from_zero: bool) -> None:
        low, high = min(values), max(values)
        low = min(low, 0.0) if from_zero else low
        whole = all(value == int(value) for value in values)  # such as epochs
        locator = MaxNLocator(TICKS, integer=whole)
        self.ticks = [float(tick) for tick in locator.tick_values(low, high if high > low else low + 1)]
        self.low, self.high = self.ticks[0], self.ticks[-1]
        self.begin, self.end = begin, end

    def __call__(self, value: float) -> float:
        return self.begin + (self.end - self.begin) * (value - self.low) / (self.high - self.low)


def _frame(across: _Axis, up: _Axis, x: str, y: str) -> list[str]:
    """Grid, numbers and names of the axes."""
    parts = []
    for value in up.ticks:
        at = up(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_short(value)}</text>')
    for value in across.ticks:
        parts.append(f'<text x="{across(value):.1f}" y="{HEIGHT - 26}" text-anchor="middle">{_short(value)}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x)}</text>')
    middle = HEIGHT / 2
    parts.append(
        f'<text class="upright" x="12" y="{middle:.0f}" text-anchor="middle" '
        f'transform="rotate(-90 12 {middle:.0f})">{escape(y)}</text>'
    )
    return parts


def _svg(parts: Sequence[str], label: str) -> str:
    quoted = escape(label, quote=True)
    return f'<svg role="img" aria-label="{quoted}" viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}</svg>'


def _short(value: float) -> str:
    for least, unit in UNITS:
        if abs(value) >= least:
            return f"{value / (1e3 if unit == 'k' else least):.3g} {unit}"
    return f"{value:.3g}"
