"""``gazenas latency``: how long the layers of a search space take in onnxruntime, as a table for ``gazenas search
--latency-table``."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt

from gazenas.commands import _board
from gazenas.commands._common import console, counting_bar, make_parser
from gazenas.costs.latency.measurement import THREADS, Models, space_models, write_kit
from gazenas.errors import InputError
from gazenas.export import timing
from gazenas.files import write_json
from gazenas.models.zoo import load_space


def run(argv: list[str]) -> None:
    """Runs the verb."""
    arguments = _parse(argv)
    if arguments.write_kit:
        models = space_models(load_space(arguments.space))
        kit = Path(arguments.write_kit)
        write_board_kit(models, kit)
        console.print(
            f"{kit}: {len(models)} models, {kit.stat().st_size:,} bytes; on the board, which needs numpy and "
            f"onnxruntime:"
        )
        console.print(f"    python {kit.name} --out table.json")
        return
    with _kit_of(arguments) as kit:
        table = _measure(kit, arguments.threads)
    out = Path(arguments.out)
    write_json(out, table)
    console.print(f"{out}: {len(table['ms'])} models on {table['machine']['processor']}")


def _parse(argv: list[str]) -> Namespace:
    parser = make_parser(
        "latency",
        "Measures how long the layers of a search space take in onnxruntime on this machine, or writes a kit that "
        "measures them on "
        "another one: 'python KIT.zip --out table.json' there needs numpy and onnxruntime only.",
    )
    parser.add_argument("--space", type=str, default="", help="name or YAML file of the search space to measure")
    parser.add_argument("--kit", type=str, default="", help="measure this kit instead")
    parser.add_argument(
        "--write_kit",
        "--write-kit",
        type=str,
        default="",
        help="zip file to write, to be measured elsewhere; nothing is measured here",
    )
    parser.add_argument("--out", type=str, default="", help="table to write (JSON)")
    parser.add_argument(
        "--threads", type=PositiveInt, default=THREADS, help="of onnxruntime; a search reckons with one"
    )
    arguments = parser.parse_args(argv)
    if bool(arguments.space) == bool(arguments.kit):
        raise InputError("latency: expected either --space or --kit, found " + ("both" if arguments.kit else "neither"))
    if bool(arguments.out) == bool(arguments.write_kit):
        found = "both" if arguments.out else "neither"
        raise InputError(f"latency: expected either --out for a table or --write-kit for a kit, found {found}")
    if arguments.kit and arguments.write_kit:
        raise InputError("--write-kit: expected --space, from whose layers a kit is made, found --kit")
    return arguments


def write_board_kit(models: Models, kit: Path) -> None:
    """Writes a kit that is a program too: Python runs a zip file that has a ``__main__.py``."""
    programs = {
        "__main__.py": inspect.getsource(_board),
        "gazenas/__init__.py": "",
        "gazenas/export/__init__.py": "",
        "gazenas/export/timing.py": inspect.getsource(timing),
    }
    with counting_bar("writing models", len(models)) as advance:
        write_kit(models, kit, programs=programs, on_model=lambda done, total: advance(1))


@contextmanager
def _kit_of(arguments: Namespace) -> Iterator[Path]:
    """The kit that is to be measured, made for the while where a space was named."""
    if arguments.kit:
        yield Path(arguments.kit)
        return
    models = space_models(load_space(arguments.space))
    with tempfile.TemporaryDirectory() as aside:
        kit = Path(aside) / "kit.zip"
        write_board_kit(models, kit)
        yield kit


def _measure(kit: Path, threads: int) -> timing.Table:
    try:
        models = timing.read_kit(kit)
    except (OSError, ValueError) as error:
        raise InputError(f"--kit: {error}") from error
    with counting_bar("measuring models", timing.ROUNDS * len(models)) as advance:
        return timing.measure_models(models, threads=threads, on_model=lambda done, total: advance(1))
