"""Who is in a data set and whom a model was trained on, so that nobody is tested who was trained on.

A person is a name within a data set, and a data set is known by its fingerprint: every rendered folder has a
``subject0000``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.data.dataset import GazeFolder, GazeSplit, plural
from gazenas.errors import InputError
from gazenas.files import read_json
from gazenas.tasks.inputs import INPUT_KEYS

RECORDS = ("summary.json", "fold.json")  # of a run folder, whose "data" is a people_record
ABOVE = 2  # folders between weights and their run's record at most, as in RUN/family/40pc
People = Mapping[str, Sequence[str]]  # names by the fingerprint of their data set


def data_fingerprint(splits: Mapping[str, GazeSplit]) -> str:
    """A hash of who is in a data set, with how many images and which labels.

    It depends neither on pixels, nor on which split people are in, nor on the order and signs that angles were read
    with.
    """
    parts: dict[str, list[tuple[str, NDArray[np.float32]]]] = {}
    for split in splits.values():
        order = np.argsort(split.person, kind="stable")
        starts = np.searchsorted(split.person[order], np.arange(len(split.people) + 1))
        labels = np.sort(np.abs(_two_labels(split)), axis=1)
        for number, person in enumerate(split.people):
            rows = order[starts[number] : starts[number + 1]]
            if len(rows):
                parts.setdefault(person, []).append((split.images.name(int(rows[0])), labels[rows]))
    digest = hashlib.sha256()
    for person in sorted(parts):
        first = min(name for name, _ in parts[person])
        values = np.concatenate([rows for _, rows in parts[person]])
        values = np.ascontiguousarray(values[np.lexsort((values[:, 1], values[:, 0]))], "<f4")
        digest.update(f"{person}\0{first}\0{len(values)}\0".encode(errors="surrogatepass"))
        digest.update(values.tobytes())
    return digest.hexdigest()[:16]


def _two_labels(split: GazeSplit) -> NDArray[np.float32]:
    """``(N, 2)`` gaze; where there is none, how the first two numbers of other labels rank among a person's images,
    which stays the same where pixels are scaled along with images; without these, zeros."""
    if split.gaze is not None:
        return split.gaze
    ranks = np.zeros((len(split), 2), np.float32)
    labels = [values for key, values in split.columns.items() if key not in INPUT_KEYS]
    wide = [values for values in labels if values.ndim == 2 and values.shape[1] >= 2]
    for values in [values[:, :2] for values in wide if values.dtype.kind == "f"][:1]:
        for number in range(len(split.people)):
            rows = np.flatnonzero(split.person == number)
            ranks[rows] = np.argsort(np.argsort(values[rows], axis=0, kind="stable"), axis=0)
    return ranks


def people_record(folder: GazeFolder) -> dict[str, Any]:
    """What a run folder's record says of its data: the fingerprint, and the names of the people of each split."""
    prefix = f"{folder.dataset}/"  # by which two data sets in one run are told apart
    names = {name: [person.removeprefix(prefix) for person in split.people] for name, split in folder.splits.items()}
    return {"fingerprint": folder.fingerprint, "names": names}


def trained_people(model: str | Path) -> dict[str, list[str]] | None:
    """Everybody whom a model was trained on, those of the weights that it began with included.

    Args:
        model: a run folder, or a file or folder inside one.

    Returns:
        Names by the fingerprint of their data set; None where nothing says, as for a shipped name.
    """
    path = Path(model)
    folder = path if path.is_dir() else path.parent
    if not str(model) or not path.exists():
        return None
    for each in [folder, *folder.resolve().parents[:ABOVE]]:
        for name in RECORDS:
            record = read_json(each / name) if (each / name).is_file() else {}
            found = _recorded(record)
            if found is not None:
                return found
            if record.get("data"):  # written before names were recorded
                return None
    return None


def _recorded(record: Mapping[str, Any]) -> dict[str, list[str]] | None:
    data = record.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("names"), dict):
        return None
    return merged(record.get("began_with") or {}, {str(data["fingerprint"]): data["names"].get("train", [])})


def merged(*people: People) -> dict[str, list[str]]:
    """Everybody of several."""
    found: dict[str, set[str]] = {}
    for each in people:
        for fingerprint, names in each.items():
            found.setdefault(fingerprint, set()).update(names)
    return {fingerprint: sorted(names) for fingerprint, names in sorted(found.items())}


def check_unseen(
    model: str | Path, folder: GazeFolder, names: Sequence[str], *, advice: str, allow: bool = False
) -> list[str] | None:
    """Checks that a model was not trained on people of some splits.

    Args:
        model: as for :func:`trained_people`.
        folder: the data that it is tested on.
        names: of the splits whose people are to be new.
        advice: what to do about people who are not.
        allow: whether they are to be tested all the same.

    Returns:
        Those whom it was trained on, sorted; None where nothing says whom that was.

    Raises:
        InputError: naming them, unless they are allowed.
    """
    trained = trained_people(model)
    if trained is None:
        return None
    known = set(trained.get(folder.fingerprint, ()))
    tested = people_record(folder)["names"]
    seen = {name: sorted(known & set(tested[name])) for name in names if known & set(tested.get(name, ()))}
    if seen and not allow:
        said = "; ".join(
            f"{len(people)} of the {len(tested[name])} {plural(folder.group)} of {name} "
            f"({', '.join(people[:6])}{', ...' if people[6:] else ''})"
            for name, people in seen.items()
        )
        raise InputError(f"{model} was trained on {said} in {folder.folder}: {advice}")
    return sorted(set().union(*seen.values()))
