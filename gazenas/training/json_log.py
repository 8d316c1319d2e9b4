"""How a run comes along, for machines: one JSON object a line."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from gazenas.errors import InputError
from gazenas.training.checkpoint import package_version

STDOUT = "-"


class JsonLog:
    """Writes events of a run to a file, or to standard output; a follower of ``gazenas.training.job``.

    Every line has ``event``, ``time`` in seconds since 1970 (UTC) and ``run``, the run folder. Events are:

    - ``begin``: ``verb``, ``resumed``, and the version of ``gazenas``;
    - ``note``: ``text``, what the person is told;
    - ``epoch``: the columns of ``metrics.csv``, null where there is no number;
    - ``end``: ``summary``, as in ``summary.json``;
    - ``stopped``: ``text``, where a run ends before its end.

    A run that is gone on with appends to its file, and each of its epochs stands there once. Use it in a ``with``
    block; nothing is written before the first of its methods is called.

    Args:
        target: a file, or ``-`` for standard output.
        run: the run folder.
        verb: whose run it is.
        resumed: whether it is gone on with; else what a file held is replaced.
    """

    def __init__(self, target: str, run: Path, verb: str, *, resumed: bool) -> None:
        self.target, self.run, self.verb, self.resumed = target, str(run), verb, resumed
        self.told: set[int] = set()
        self.file: TextIO | None = None

    def __enter__(self) -> JsonLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.file is None:
            return
        if error is not None:
            self._write("stopped", text=f"{type(error).__name__}: {error}")
        if self.target != STDOUT:
            self.file.close()

    def epochs(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes those that were not written yet."""
        self._begin()
        for row in rows:
            if row["epoch"] not in self.told:
                self.told.add(row["epoch"])
                self._write("epoch", **row)

    def say(self, text: str) -> None:
        """Writes a note."""
        self._write("note", text=text)

    def end(self, summary: Mapping[str, Any]) -> None:
        """Writes the end."""
        self._write("end", summary=summary)

    def _begin(self) -> TextIO:
        """Opens the file, and begins."""
        if self.file is not None:
            return self.file
        if self.target == STDOUT:
            self.file = sys.stdout
        else:
            path = Path(self.target)
            self.told = _told(path, self.run) if self.resumed else set()
            self.file = path.open("a" if self.resumed else "w", encoding="utf-8")
        self._write("begin", verb=self.verb, resumed=self.resumed, gazenas=package_version())
        return self.file

    def _write(self, event: str, **values: Any) -> None:
        """Writes a line, at once."""
        file = self._begin()
        line = {"event": event, "time": round(time.time(), 3), "run": self.run, **values}
        file.write(json.dumps(_plain(line), allow_nan=False) + "\n")
        file.flush()


def check_json_log(target: str, *, goes_on: bool) -> None:
    """Checks that nothing is lost by writing events to a file.

    Args:
        target: as for :class:`JsonLog`; empty for none.
        goes_on: whether what is there may be appended to, or replaced.

    Raises:
        InputError: where there is a file that nobody said should be gone on with, or no folder for it.
    """
    path = Path(target)
    if target in ("", STDOUT):
        return
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"--log-json: expected a file in an existing folder, or -, found {target}")
    if path.is_file() and path.stat().st_size and not goes_on:
        raise InputError(
            f"--log-json: {target} is there already: expected another file, or --resume, which appends to it, or "
            "--overwrite, which replaces it"
        )


def _told(path: Path, run: str) -> set[int]:
    """The epochs of a run that a file tells of; half a line, of a process that was killed, is taken off it."""
    if not path.is_file():
        return set()
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        with path.open("rb+") as file:
            file.truncate(len(whole))
    try:
        lines = [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise InputError(f"--log-json: {path}: expected one JSON object a line: {error}") from error
    return {line["epoch"] for line in lines if line.get("event") == "epoch" and line.get("run") == run}


def _plain(value: Any) -> Any:
    """A value as JSON has it: null for what is no number or an empty cell."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if value == "" or (isinstance(value, float) and not math.isfinite(value)) else value
