"""Files that are written whole or not at all, JSON and CSV, and the folder for what can be made again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gazenas.errors import InputError, did_you_mean

NAME_BYTES = 120  # of a name that a text gives, before its hash; file systems take 255


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file by the titles of its first line; cells that a row lacks are empty.

    Raises:
        InputError: where it is absent or cannot be read as one.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file, restkey="", restval=""))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{nearest_file(path)}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV file: {error}") from error


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


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Gives a path beside ``path`` to write to, and renames it over ``path`` once the block ends well.

    Whatever stood at ``path`` stays whole until then, also when the disk fills up or the process is killed.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield aside
        os.replace(aside, path)
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk does not say which file
        raise


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes an object as JSON.

    Raises:
        ValueError: where a number is not finite, which JSON does not know.
    """
    with write_aside(path) as aside:
        aside.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        InputError: where the file is absent or holds something else.
    """
    values = _parsed(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(values).__name__}")
    return values


def read_json_list(path: Path) -> list[Any]:
    """Reads a JSON array.

    Raises:
        InputError: as :func:`read_json`.
    """
    values = _parsed(path)
    if not isinstance(values, list):
        raise InputError(f"{path}: expected a JSON array, found {type(values).__name__}")
    return values


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{nearest_file(path)}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: expected JSON: {error}") from error


def nearest_file(path: Path) -> str:
    """What a message says after a path that is not there: the nearest name in its folder, or nothing."""
    if path.exists():
        return ""
    try:
        return did_you_mean(str(path), (str(path.parent / each.name) for each in path.parent.iterdir()))
    except OSError:
        return ""


def safe_name(text: str) -> str:
    """A name for a file or folder inside another, whatever a data set calls a person: ``text`` itself where that is
    one.

    What is changed ends in a hash of ``text``, and so does what looks as if it did, so that two texts never share a
    name.
    """
    plain = re.sub(r"[^\w .+=@-]", "_", unicodedata.normalize("NFC", text)).strip(" .")
    short = plain.encode()[:NAME_BYTES].decode(errors="ignore")
    if short == text and short and not short.startswith("-") and not re.search(r"-[0-9a-f]{16}$", short):
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{short.strip(' .-') or '_'}-{digest}"


def cache_folder() -> Path:
    """Where tables of this machine are kept, and what can be fetched again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gazenas"
