"""Draws the rooms of the package from its imports: ``python tools/draw_rooms.py`` writes ``docs/pictures/rooms.svg``.

A room is a folder or a module of ``gazenas/``. It stands above everything that it imports, and an arrow goes to each
room that it imports, but to those that another one of these imports already. The same imports give the same bytes.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1] / "gazenas"
PICTURE = ROOT.parent / "docs" / "pictures" / "rooms.svg"
WIDTH, GAP, LINE, MARGIN = 200, 24, 14, 20  # pixels: of a box, between boxes of a row, of a line of text, around all
ROW_GAP, COLUMNS, SWEEPS = 36, 31, 24

BY_NAME = {"__main__": {"commands"}}  # imports of which the module is made from a word of the command line

Point = tuple[float, float]
Edges = dict[str, set[str]]


def modules_of(root: Path) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_by(name: str, modules: Mapping[str, Path]) -> set[str]:
    """Modules among these that a module imports: also in a function, for type checkers alone, or as an attribute."""
    found = set()
    for node in ast.walk(ast.parse(modules[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{name}: relative import in line {node.lineno}")
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {each if each in modules else str(node.module) for each in inner}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & set(modules)) - {name}


def rooms_of(modules: Mapping[str, Path]) -> Edges:
    """By room, the rooms that it imports; the package's own names are no room, since they only lead to others'."""
    rooms: Edges = {name.split(".")[1]: set() for name in sorted(modules) if "." in name}
    rooms |= {room: set(others) for room, others in BY_NAME.items() if room in rooms}
    for name in modules:
        if "." in name:
            room = name.split(".")[1]
            rooms[room] |= {other.split(".")[1] for other in imported_by(name, modules) if "." in other} - {room}
    return rooms


def heights(edges: Edges) -> dict[str, int]:
    """By room, how many rooms lie below it at most, one below the other.

    Raises:
        ValueError: where rooms import one another in a circle.
    """
    found: dict[str, int] = {}
    while len(found) < len(edges):
        free = [room for room in edges if room not in found and edges[room] <= found.keys()]
        if not free:
            raise ValueError(f"in a circle or above one: {sorted(edges.keys() - found.keys())}")
        found |= {room: 1 + max((found[below] for below in edges[room]), default=-1) for room in free}
    return found


def needed(edges: Edges) -> Edges:
    """The edges without those that others lead along."""
    level = heights(edges)
    reach: Edges = {}
    for room in sorted(edges, key=lambda room: (level[room], room)):
        reach[room] = edges[room].union(*(reach[below] for below in edges[room]))
    return {room: below - set().union(*(reach[each] for each in below)) for room, below in edges.items()}


def _rows(edges: Edges, level: Mapping[str, int]) -> tuple[list[list[str]], Edges]:
    """Rows from the top, in which lines cross little, and edges from row to row: long ones have points in between."""
    steps: Edges = {room: set() for room in edges}
    level = dict(level)
    for room in sorted(edges):
        for below in sorted(edges[room]):
            last = room
            for height in range(level[room] - 1, level[below], -1):
                point = f"{room}>{below}>{height}"
                level[point], steps[point] = height, set()
                steps[last].add(point)
                last = point
            steps[last].add(below)
    rows = [sorted(node for node in level if level[node] == height) for height in range(max(level.values()), -1, -1)]
    above: Edges = {node: {other for other in steps if node in steps[other]} for node in steps}
    for sweep in range(SWEEPS):
        downward = sweep % 2 == 0
        order = range(1, len(rows)) if downward else range(len(rows) - 2, -1, -1)
        for number in order:
            fixed = rows[number - 1 if downward else number + 1]
            place = {node: (index + 0.5) / len(fixed) for index, node in enumerate(fixed)}
            own = {node: (index + 0.5) / len(rows[number]) for index, node in enumerate(rows[number])}
            near = above if downward else steps
            mean = {
                node: sum(place[each] for each in near[node]) / len(near[node]) if near[node] else own[node]
                for node in rows[number]
            }
            rows[number].sort(key=lambda node, mean=mean: (round(mean[node], 6), node))
    return rows, steps


def about(room: str) -> str:
    """What a room says of itself: the first sentence of its docstring."""
    path = ROOT / room / "__init__.py"
    text = ast.get_docstring(ast.parse((path if path.exists() else ROOT / f"{room}.py").read_text(encoding="utf-8")))
    return " ".join((text or "").split("\n\n")[0].replace("``", "").split()).partition(". ")[0].rstrip(".")


def draw(edges: Edges, texts: Mapping[str, str]) -> str:
    """The picture as SVG.

    Args:
        edges: by room, the rooms that it imports.
        texts: by room, what it is.
    """
    rows, steps = _rows(needed(edges), heights(edges))
    lines = {room: textwrap.wrap(texts[room], COLUMNS) for room in edges}
    widths = [[WIDTH if node in edges else 0 for node in row] for row in rows]
    whole = max(sum(row) + GAP * (len(row) - 1) for row in widths)
    top = float(MARGIN)
    corners: dict[str, tuple[float, float, float]] = {}  # left, top, height
    for row, own in zip(rows, widths, strict=True):
        tall = max((LINE * (len(lines[node]) + 1) + 10 for node in row if node in edges), default=0)
        left = MARGIN + (whole - sum(own) - GAP * (len(row) - 1)) / 2
        for node, width in zip(row, own, strict=True):
            corners[node] = (left, top, tall)
            left += width + GAP
        top += tall + ROW_GAP
    size = f"{whole + 2 * MARGIN:.0f} {top - ROW_GAP + MARGIN:.0f}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" font-size="11">',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 8 4 0 8z" fill="#567"/></marker></defs>',
            '<rect width="100%" height="100%" fill="white"/>',
            *_arrows(needed(edges), steps, corners),
            *(part for room in sorted(edges) for part in _box(room, lines[room], corners[room])),
            "</svg>\n",
        ]
    )


def _arrows(edges: Edges, steps: Edges, corners: Mapping[str, tuple[float, float, float]]) -> Iterable[str]:
    """A line a needed edge, through its points in between."""
    for room in sorted(edges):
        for below in sorted(edges[room]):
            way = [
                room,
                *sorted((n for n in steps if n.startswith(f"{room}>{below}>")), key=lambda n: -int(n[-2:].strip(">"))),
                below,
            ]
            points: list[Point] = []
            for node in way:
                left, top, tall = corners[node]
                middle = left + (WIDTH / 2 if node in edges else 0)
                points += [(middle, top)] if node != room else []
                points += [(middle, top + tall)] if node != below else []
            bends = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            yield f'<polyline points="{bends}" fill="none" stroke="#567" marker-end="url(#tip)"/>'


def _box(room: str, text: list[str], corner: tuple[float, float, float]) -> Iterable[str]:
    left, top, tall = corner
    size = f'width="{WIDTH}" height="{tall:.1f}"'
    yield f'<rect x="{left:.1f}" y="{top:.1f}" {size} rx="4" fill="#eef3f8" stroke="#567"/>'
    for number, line in enumerate([room, *text]):
        bold = ' font-weight="bold"' if number == 0 else ""
        yield f'<text x="{left + 8:.1f}" y="{top + LINE * (number + 1):.1f}"{bold}>{escape(line)}</text>'


def picture() -> str:
    """The package's rooms as SVG."""
    edges = rooms_of(modules_of(ROOT))
    return draw(edges, {room: about(room) for room in edges})


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
