"""``gazenas report``: a page about one run or several, a single HTML file."""

from __future__ import annotations

from pathlib import Path

from gazenas.commands._common import console, make_parser
from gazenas.errors import InputError
from gazenas.report.page import write_report


def run(argv: list[str]) -> None:
    """Runs the verb."""
    parser = make_parser(
        "report",
        "Writes one HTML file about runs: what was asked, what came out, curves, architecture, errors by person and "
        "angle, best and worst faces. It works offline; several runs stand side by side.",
    )
    parser.add_argument("runs", type=str, nargs="+", help="run folders")
    parser.add_argument("--out", type=str, default="report.html", help="HTML file to write")
    arguments = parser.parse_args(argv)
    out = Path(arguments.out)
    if out.suffix not in (".html", ".htm") or not out.parent.is_dir():
        raise InputError(f"--out: expected FILE.html in an existing folder, found {arguments.out}")
    write_report([Path(run) for run in arguments.runs], out)
    console.print(f"{out}: {out.stat().st_size:,} bytes about {len(arguments.runs)} runs")
