"""Makes the leaderboard's page of its rows: ``leaderboard.csv``, ``leaderboard.md`` and two pictures.

python tools/experiments/leaderboard_page.py board/leaderboard.csv [--docs docs]
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from gazenas.errors import InputError
from gazenas.evaluation.experiment import ErrorRow, error_table
from gazenas.files import read_csv, write_aside
from gazenas.report.figure import save_figure

NUMBERS = ("macs", "params", "ms", "seconds")
SPACE, RIVAL, COMPARATOR, SHIPPED = KINDS = ("space", "rival", "comparator", "shipped")
TITLES = {SPACE: "Search spaces", RIVAL: "Hand-made rivals", COMPARATOR: "Published comparators"}
COLORS = ("#c53030", "#dd6b20", "#b7791f", "#97266d", "#6b46c1", "#d53f8c")  # of spaces, one after another
RIVAL_COLORS = ("#276749", "#2b6cb0", "#0987a0")
GRAY = "#4a5568"
LETTER: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10, "fontweight": "bold", "color": GRAY}
SIDES = ((9, 0), (0, -11), (-9, 0), (0, 11))  # of a comparator's point, in points: where its letter may stand
ROOM = 16.0  # pixels to whatever else is drawn that are enough
Rows = Sequence[Mapping[str, Any]]
Table = Mapping[str, ErrorRow]


def main() -> int:
    """Writes the page; 2 where the rows cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, help="leaderboard.csv of tools/experiments/leaderboard.py, all rows timed")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="folder to write")
    arguments = parser.parse_args()
    try:
        rows = read_rows(arguments.rows)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    pictures = arguments.docs / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    table = means_of(rows)
    for number, label in (("macs", "MACs of one image, millions"), ("ms", "milliseconds an image, one thread")):
        draw(table, rows, number, label, pictures / f"leaderboard_{number}.png")
    own = arguments.docs / "leaderboard.csv"
    if arguments.rows.resolve() != own.resolve():
        shutil.copyfile(arguments.rows, own)
    with write_aside(arguments.docs / "leaderboard.md") as aside:
        aside.write_text(page(table, rows), encoding="utf-8")
    return 0


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows with their numbers as such.

    Raises:
        InputError: where there are none, or one has not been timed.
    """
    rows: list[dict[str, Any]] = [dict(row) for row in read_csv(path)]
    late = [row["name"] for row in rows if not row["ms"]]
    if late or not {SPACE, RIVAL, COMPARATOR} <= {row["kind"] for row in rows}:
        found = f"no milliseconds of {', '.join(late)}" if late else f"{len(rows)} rows"
        raise InputError(f"{path}: expected timed rows of spaces, rivals and comparators, found {found}")
    for row in rows:
        row |= {name: float(row[name] or "nan") for name in (*NUMBERS, "test_error_deg")}
        row["row"] = f"{row['name']} {row['budget']}".strip()
    return rows


def means_of(rows: Rows) -> Table:
    """By name and budget, errors over seeds and means of numbers."""
    return error_table(rows, name="row", error="test_error_deg", means=NUMBERS)


def page(table: Table, rows: Rows) -> str:
    """The text."""
    paragraphs = ["# Leaderboard", *answer(table, rows), *pictures(), FOLLOWS]
    for kind, title in TITLES.items():
        paragraphs += [f"## {title}", grid(table, rows, kind)]
    paragraphs += [NOTES]
    if any(row["kind"] == SHIPPED for row in rows):
        paragraphs += ["## Shipped networks, as they are", SHIPPED_NOTE, grid(table, rows, SHIPPED)]
    return "\n\n".join([*paragraphs, *method(rows)]) + "\n"


FOLLOWS = (
    "A line joins the budgets of one space or rival, a letter is a comparator, a bar is a standard deviation\n"
    "over seeds. Error is the mean angle on people whom nothing saw, in degrees; ms is onnxruntime's fastest run of a\n"
    "single image on one thread, every file in turns with the others; seconds are of training. All are means of seeds."
)
NOTES = (
    "Comparators have their papers' layers at 64 pixels, fresh weights, and no pretraining: images of 64 pixels and\n"
    "few faces are not what they were made for. Those of more than 150 M MACs at this size are not here. The license\n"
    "is the one under which its authors, or pytorchcv, published code ([what is known of each](comparators.md):\n"
    "`gazenas ls --csv models.csv --models`). Spaces and networks of 224 pixels are not here:\n"
    "[at 224 pixels](comparisons/rival_224.md)."
)
SHIPPED_NOTE = (
    "**Not to be compared with the rows above:** these were trained for longer, on up to 210 other rendered people,\n"
    "some with stronger augmentation ([where each came from](models.md#where-each-came-from)). Only their errors and\n"
    "milliseconds are measured here, on the same unseen people. Compare milliseconds within this page alone:\n"
    "[models by name](models.md) has them of another, faster hour."
)


def pictures() -> list[str]:
    """Both, as Markdown has them."""
    return [
        "![Error against milliseconds](pictures/leaderboard_ms.png)",
        "![Error against MACs](pictures/leaderboard_macs.png)",
    ]


def of_kind(table: Table, rows: Rows, *kinds: str) -> dict[str, ErrorRow]:
    """Part of the table."""
    names = dict.fromkeys(row["row"] for row in rows if row["kind"] in kinds)
    return {name: table[name] for name in names}


def lowest(table: Table) -> tuple[str, ErrorRow]:
    """Whose mean error is the lowest."""
    return min(table.items(), key=lambda item: item[1].mean)


def answer(table: Table, rows: Rows) -> list[str]:
    """What the numbers say, in sentences."""
    budgets = dict.fromkeys(row["budget"] for row in rows if row["kind"] == RIVAL)
    said = []
    for budget in budgets:
        own = [row for row in rows if row["budget"] == budget]
        if not {SPACE, RIVAL} <= {row["kind"] for row in own}:
            continue
        (space, found), (rival, made) = (lowest(of_kind(table, own, kind)) for kind in (SPACE, RIVAL))
        said.append(
            f"{budget}: {found.mean:.2f} degrees found in `{space.split()[0]}`, {made.mean:.2f} made by hand "
            f"(`{rival.split()[0]}`)"
        )
    trained = of_kind(table, rows, SPACE, RIVAL, COMPARATOR)
    (best, row), (theirs, far) = lowest(trained), lowest(of_kind(table, rows, COMPARATOR))
    spreads = [row.deviation for row in trained.values() if row.deviation is not None]
    trial = "**A trial: rows have one seed, and their order says nothing yet.**"
    doubt = (
        f"Seeds of a row differ by a standard deviation of {np.median(spreads):.2f} degrees (the median row; at most "
        f"{max(spreads):.2f}): differences below a row's own say nothing. "
        if spreads
        else ""
    )
    ahead = [f"`{name}` ({each.means['ms']:.2f} ms, {each.mean:.2f})" for name, each in front(trained).items()]
    least = (
        "which is the lowest error of all"
        if best == theirs
        else f"the lowest error of all has `{best}`, {row.mean:.2f} degrees in {row.means['ms']:.2f} ms"
    )
    sentences = [
        f"**The best of each kind at equal MACs. {'; '.join(said)}.** The best comparator is `{theirs}` with "
        f"{far.mean:.2f} degrees, {far.means['macs'] / 1e6:.1f} M MACs and {far.means['ms']:.2f} ms; {least}.",
        f"Nothing is both faster and nearer than these, the fastest first: "
        f"{', '.join(ahead)}. {doubt}All of it is on rendered faces: how these rank on real ones is not measured.",
    ]
    return [wrapped(each) for each in ([] if spreads else [trial]) + sentences]


def front(table: Table) -> dict[str, ErrorRow]:
    """Of milliseconds and error, those that no other beats in both; the fastest first."""
    found: dict[str, ErrorRow] = {}
    for name, row in sorted(table.items(), key=lambda item: item[1].means["ms"]):
        if all(row.mean < each.mean for each in found.values()):
            found[name] = row
    return found


def grid(table: Table, rows: Rows, kind: str) -> str:
    """A table in Markdown, fewer MACs first within a name."""
    first = {row["row"]: row for row in rows if row["kind"] == kind}
    titles = ["name", "budget", "M MACs", "parameters", "ms", "error", "deviation", "seconds"]
    titles += ["design", "license"] if kind == COMPARATOR else []
    lines = [titles, ["---"] * len(titles)]
    for name, row in of_kind(table, rows, kind).items():
        numbers = row.means
        cells = [f"`{first[name]['name']}`", first[name]["budget"], f"{numbers['macs'] / 1e6:.2f}"]
        cells += [f"{numbers['params']:,.0f}", f"{numbers['ms']:.3f}", *row.cells()[:2]]
        cells.append("" if kind == SHIPPED else f"{numbers['seconds']:.0f}")
        cells += [first[name]["design"], first[name]["license"]] if kind == COMPARATOR else []
        lines.append(cells)
    dropped = {SHIPPED: ("budget", "deviation", "seconds"), COMPARATOR: ("budget",)}
    kept = [number for number, title in enumerate(titles) if title not in dropped.get(kind, ())]
    return "\n".join("| " + " | ".join(line[number] for number in kept) + " |" for line in lines)


def method(rows: Rows) -> list[str]:
    """How it was measured, and how one row is made again."""
    trained = [row for row in rows if row["kind"] != SHIPPED]
    dates, commits = (sorted({row[name] for row in rows}) for name in ("date", "commit"))
    words = shlex.split(trained[0]["command"])
    epochs = words[words.index("--epochs") + 1]
    asked = dict(zip(shlex.split(trained[0]["data"])[3::2], shlex.split(trained[0]["data"])[4::2], strict=True))
    seeds, seconds = len({row["seed"] for row in trained}), sum(row["seconds"] for row in trained)
    facts = {
        "machine": f"{trained[0]['machine']}; trainings on one thread each",
        "date": ", ".join(dates),
        "commit": f"{', '.join(commits)}, with [its defaults](changelog.md)",
        "data": f"{asked['--subjects']} rendered people of {asked['--per-subject']} images at {asked['--size']} pixels;"
        " a tenth of the people validate, a fifth are tested on",
        "recipe": f"{epochs} passes, batches of 64, Muon, one cycle, the last epoch kept; squeezenet at a third of the "
        "learning rate, since without BatchNorm it does not train at the usual one",
        "seeds": f"{seeds}, of weights and batches, where no row says one",
        "time": f"{seconds / 3600:.1f} hours of training in all",
        "rows": "[leaderboard.csv](leaderboard.csv), a row a run, with its command",
    }
    example = next(row for row in trained if row["kind"] == RIVAL)
    settings = f"--subjects {asked['--subjects']} --per-subject {asked['--per-subject']} --epochs {epochs}"
    again = f"python tools/experiments/leaderboard.py --out board {settings}"
    commands = ["```", *folded(trained[0]["data"]), *folded(again), "```"]
    alone = ["```", *folded(example["command"]), "```"]
    return [
        "## How it was measured",
        "\n".join(["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in facts.items())]),
        wrapped(
            "A search is the whole recipe: nothing follows it. The second command renders the faces itself "
            "where they are absent, and goes on where it was stopped:"
        ),
        "\n".join(commands),
        wrapped(
            "`--rows 'handmade*'` makes some rows alone. So does the row's own command, out of the last columns of "
            "the file, once the faces are there:"
        ),
        "\n".join(alone),
        "`python tools/experiments/leaderboard_page.py board/leaderboard.csv` writes this page.",
    ]


def wrapped(text: str) -> str:
    """In lines that a page may have."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def folded(command: str) -> list[str]:
    """A command in lines of a shell."""
    lines = textwrap.wrap(command, 112, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def draw(table: Table, rows: Rows, number: str, label: str, path: Path) -> None:
    """Error against a number of every network that was trained here: a line a space or rival, a point a comparator."""
    figure = Figure((10, 6.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    scale = 1e6 if number == "macs" else 1.0
    for kind, colors, style in ((SPACE, COLORS, "o-"), (RIVAL, RIVAL_COLORS, "s--")):
        names = dict.fromkeys(row["name"] for row in rows if row["kind"] == kind)
        for name, color in zip(names, colors, strict=False):
            own = of_kind(table, [row for row in rows if row["name"] == name], kind).values()
            points = sorted((row.means[number] / scale, row.mean, row.deviation or 0.0) for row in own)
            x, y, spread = zip(*points, strict=True)
            axes.errorbar(x, y, yerr=spread, fmt=style, color=color, capsize=3, lw=1.6, ms=6, label=name)
    axes.set(xscale="log", xlabel=label, ylabel="mean angular error on unseen people (degrees)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.08, y=0.08)
    axes.grid(alpha=0.3)
    others = [(row.means[number] / scale, row.mean) for row in of_kind(table, rows, SPACE, RIVAL).values()]
    lettered(axes, of_kind(table, rows, COMPARATOR), others, number, scale)
    marks = sorted(zip(*axes.get_legend_handles_labels(), strict=True), key=lambda mark: isinstance(mark[0], Line2D))
    handles, labels = zip(*marks, strict=True)
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9)
    save_figure(figure, path)


def lettered(axes: Axes, table: Table, others: Sequence[tuple[float, float]], number: str, scale: float) -> None:
    """Comparators as points with letters, which have room where names have none; the legend has both."""
    points = [(row.means[number] / scale, row.mean) for row in table.values()]
    for (x, y), row in zip(points, table.values(), strict=True):
        axes.errorbar(x, y, yerr=row.deviation or 0.0, fmt=".", color=GRAY, elinewidth=0.8, capsize=2)
    axes.autoscale_view()
    across = axes.figure.dpi / 72  # pixels of a point
    taken = list(axes.transData.transform([*points, *others]))
    for letter, place, (name, at) in zip(ascii_uppercase, taken.copy(), zip(table, points, strict=True), strict=False):
        rest = np.array([each for each in taken if each is not place]) - place
        room = [min(np.hypot(*(rest - across * np.array(side)).T).min(), ROOM) for side in SIDES]
        side = SIDES[int(np.argmax(room))]
        axes.annotate(letter, at, side, textcoords="offset points", **LETTER)
        taken.append(place + across * np.array(side))
        axes.plot([], [], marker=f"${letter}$", color=GRAY, ms=7, mew=0, linestyle="none", label=name)


if __name__ == "__main__":
    sys.exit(main())
