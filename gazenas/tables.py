"""CSV files, written aside."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gazenas.architecture import write_aside


def write_csv(path: Path, titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a line of titles and the rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(rows)
    with write_aside(path) as aside:
        aside.write_text(text.getvalue(), encoding="utf-8")


def write_records(path: Path, records: Sequence[Mapping[str, object]]) -> None:
    """Writes records whose titles are the keys of the first; nothing where there is none.

    A record that lacks a key leaves its cell empty.
    """
    if records:
        titles = list(records[0])
        write_csv(path, titles, ([record.get(title, "") for title in titles] for record in records))
