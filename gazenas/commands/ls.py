"""``gazenas ls``: everything that goes by a name: models, search spaces, data sets, tasks.

What code cannot say, whose design it is and under which license its authors published it, stands in a CSV file beside
what is listed: ``LICENSES``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path

from rich.markup import escape

from gazenas.commands._common import make_parser, print_table
from gazenas.data.readers import DATASETS
from gazenas.errors import InputError
from gazenas.files import read_csv, write_csv
from gazenas.models.baselines import BASELINES
from gazenas.models.zoo import list_subnets, load_space, space_folder
from gazenas.tasks import TASKS
from gazenas.tasks.task import UNITS

Table = tuple[list[str], list[list[str]]]
PACKAGE = Path(str(files("gazenas")))
LICENSES = {  # by list, the file of licenses
    "models": PACKAGE / "models" / "models.csv",
    "spaces": space_folder() / "spaces.csv",
    "datasets": PACKAGE / "data" / "readers" / "datasets.csv",
    "tasks": PACKAGE / "tasks" / "tasks.csv",
}


def run(argv: list[str]) -> None:
    """Runs the verb."""
    parser = make_parser("ls", "Lists what verbs take by name; without a flag everything.")
    for name in _LISTS:
        parser.add_argument(f"--{name}", action="store_true", help=f"list {name}")
    parser.add_argument("--csv", type=str, default="", help="file to write instead, of one of the lists")
    arguments = parser.parse_args(argv)
    asked = [name for name in _LISTS if arguments[name]] or [*_LISTS]
    if arguments.csv:
        if len(asked) > 1:
            raise InputError(f"--csv: expected one of {', '.join(f'--{name}' for name in _LISTS)}, found {len(asked)}")
        write_csv(Path(arguments.csv), *listed(asked[0]))
        return
    for name in asked:
        titles, rows = listed(name)
        print_table(name, titles, [[escape(cell) for cell in row] for row in rows])


def listed(name: str) -> Table:
    """One of the lists, with whose design each is, where it is somebody else's, and its license.

    Raises:
        InputError: where the file of licenses cannot be read.
    """
    titles, rows = _LISTS[name]()
    said = {line.pop("name"): line for line in read_csv(LICENSES[name])}
    more = [*next(iter(said.values()))]
    return [*titles, *more], [[*row, *(said.get(row[0], {}).get(title, "") for title in more)] for row in rows]


def models() -> Table:
    """Shipped subnets by what their cards say, then comparators and rivals, which come without weights."""
    rows, cards = [], PACKAGE / "models" / "subnets"
    for name in list_subnets():
        card = cards.joinpath(f"{name}.md").read_text(encoding="utf-8")
        facts = dict(re.findall(r"^\| ([^|]+) \| (.+) \|$", card, re.MULTILINE))
        error = facts.get("error", "").partition(" on ")
        pixels = facts.get("space", "").rpartition(", ")[2]
        rows.append([name, pixels, facts["MACs"], facts["parameters"], error[0], error[2].partition(";")[0]])
    rows += [[name, "", "", "", "no weights", _said(builder)] for name, builder in BASELINES.items()]
    return ["model", "input", "MACs", "parameters", "error", "on, or what it is"], rows


def spaces() -> Table:
    """Search spaces that are shipped."""
    rows = []
    for name in sorted(path.stem for path in space_folder().glob("*.yaml")):
        space = load_space(name)
        kinds = sorted({operator for branch in space.parallel for operator in branch})
        rows.append([name, f"{space.input_size} pixels", str(space.branches), ", ".join(kinds), space.head["kind"]])
    return ["space", "input", "branches", "operators", "head"], rows


def datasets() -> Table:
    """Layouts that verbs read."""
    return ["--format", "what"], [
        [name, _first_sentence(sys.modules[reader.__module__].__doc__)] for name, reader in DATASETS.items()
    ]


def tasks() -> Table:
    """What networks predict."""
    rows = [
        [
            name,
            ", ".join(task.outputs[:4]) + (", ..." if len(task.outputs) > 4 else ""),
            ", ".join(task.keys),
            UNITS[task.error_unit][1],
        ]
        for name, task in TASKS.items()
    ]
    return ["--task", "outputs", "keys of a data folder", "error in"], rows


_LISTS: dict[str, Callable[[], Table]] = {"models": models, "spaces": spaces, "datasets": datasets, "tasks": tasks}


def _said(builder: Callable[..., object]) -> str:
    """What a builder says of itself; of one with numbers filled in, what its module says."""
    return _first_sentence(
        sys.modules[builder.func.__module__].__doc__ if isinstance(builder, partial) else builder.__doc__
    )


def _first_sentence(text: str | None) -> str:
    words = " ".join((text or "").split("\n\n")[0].split())
    return words.partition(". ")[0].removesuffix(".")
