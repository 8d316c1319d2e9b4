"""What every reader of a data set gives: splits of images with labels in this package's convention."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gazenas.data import hdf5_layout as layout
from gazenas.errors import InputError
from gazenas.tasks.inputs import INPUTS
from gazenas.tasks.task import Task


class Images(Protocol):
    """Gives images by row, and names rows."""

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(n, S, S, 3)`` RGB."""
        ...

    def name(self, row: int) -> str:
        """Where the row comes from."""
        ...


@dataclass(frozen=True)
class RowFault:
    """A row that cannot be used: where it stands, and why not."""

    where: str
    reason: str


@dataclass(frozen=True)
class Faces:
    """Images held in memory, with what else a network takes.

    Attributes:
        images: ``(N, S, S, 3)`` uint8 RGB.
        more: ``(N, ...)`` numbers by name, a key of ``gazenas.tasks.inputs.INPUTS`` each.
    """

    images: NDArray[np.uint8]
    more: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Faces:
        return Faces(self.images[rows], {name: values[rows] for name, values in self.more.items()})


@dataclass
class GazeSplit:
    """Images of some people.

    Attributes:
        name: ``train``, ``val``, ``test``, or a data set's own word for one of its parts.
        people: names; recordings where a data set names nobody.
        person: ``(N,)`` index into ``people``.
        gaze: ``(N, 2)`` pitch and yaw in radians, or None where the data set keeps them to itself.
        head_pose: ``(N, 2)`` the same for the head, or None.
        size: side of the images in pixels.
        images: reads ``(n, S, S, 3)`` uint8 RGB by rows.
        sessions: names of recording sessions, where they are known.
        session: ``(N,)`` index into ``sessions``, or None.
        block: how many neighboring rows are decoded together.
        columns: whatever else is known by row, such as ``head_roll``, by its key in ETH-XGaze's layout.
    """

    name: str
    people: list[str]
    person: NDArray[np.int64]
    gaze: NDArray[np.float32] | None
    head_pose: NDArray[np.float32] | None
    size: int
    images: Images
    sessions: list[str] = field(default_factory=list)
    session: NDArray[np.int64] | None = None
    block: int = 1
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.person)

    def at(self, rows: NDArray[np.int64], name: str | None = None) -> GazeSplit:
        """The split of some of the rows, in the order given; people without a row are left out."""
        person = self.person[rows]
        present = np.unique(person)
        return replace(
            self,
            name=self.name if name is None else name,
            people=[self.people[number] for number in present],
            person=np.searchsorted(present, person),
            gaze=None if self.gaze is None else self.gaze[rows],
            head_pose=None if self.head_pose is None else self.head_pose[rows],
            session=None if self.session is None else self.session[rows],
            images=SomeImages(self.images, rows),
            block=1,
            columns={key: values[rows] for key, values in self.columns.items()},
        )

    def column(self, key: str) -> NDArray[np.float32] | None:
        """``(N, ...)`` values by their key in ETH-XGaze's layout; None where they are unknown."""
        return {layout.GAZE: self.gaze, layout.HEAD_POSE: self.head_pose}.get(key, self.columns.get(key))

    def known(self) -> list[str]:
        """The keys of all columns that are known."""
        return [key for key in (layout.GAZE, layout.HEAD_POSE) if self.column(key) is not None] + list(self.columns)

    def group(self, by_session: bool = False) -> NDArray[np.int64]:
        """``(N,)`` numbers, the same for rows of one person, or of one person's session where those are known."""
        if not by_session or self.session is None:
            return self.person
        pairs = self.person * (max(len(self.sessions), 1)) + self.session
        numbers: NDArray[np.int64] = np.unique(pairs, return_inverse=True)[1]
        return numbers

    def rows_by_group(self, by_session: bool = False) -> list[NDArray[np.int64]]:
        """The rows of each :meth:`group`, ascending."""
        groups = self.group(by_session)
        order = np.argsort(groups, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1) if len(order) else []

    def faces(self, rows: NDArray[np.int64], inputs: Sequence[str] = ()) -> Faces:
        """Images of some rows in memory, with what a network takes besides, names of ``INPUTS``.

        Raises:
            InputError: naming what is there in its place.
        """
        return Faces(self.images(rows), {name: INPUTS[name].need(self, self.name)[rows] for name in inputs})

    def fingerprint(self) -> str:
        """A hash of which rows these are: the sorted names of their images."""
        names = sorted(self.images.name(row) for row in range(len(self)))
        return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]

    def in_memory(self, limit: int) -> GazeSplit:
        """The same split with its images in memory where they take at most ``limit`` bytes, else itself."""
        if len(self) * self.size**2 * 3 > limit or isinstance(self.images, LoadedImages):
            return self
        return replace(self, images=LoadedImages(self.images(np.arange(len(self))), self.images), block=1)


def join(name: str, splits: Sequence[GazeSplit]) -> GazeSplit:
    """One split of several of one size: people and sessions of one name are the same; labels and columns only where all
    have them."""
    people = sorted({person for split in splits for person in split.people})
    sessions = sorted({session for split in splits for session in split.sessions})

    def numbers(own: Sequence[str], everyone: list[str], index: NDArray[np.int64]) -> NDArray[np.int64]:
        indices: NDArray[np.int64] = np.array([everyone.index(entry) for entry in own], np.int64)[index]
        return indices

    def stacked(parts: list[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
        known = [part for part in parts if part is not None]
        return np.concatenate(known) if len(known) == len(parts) else None

    columns = {
        key: np.concatenate([split.columns[key] for split in splits])
        for key, values in splits[0].columns.items()
        if all(key in split.columns and split.columns[key].shape[1:] == values.shape[1:] for split in splits)
    }
    known = [split.session for split in splits if split.session is not None]
    return GazeSplit(
        name=name,
        people=people,
        person=np.concatenate([numbers(split.people, people, split.person) for split in splits]),
        gaze=stacked([split.gaze for split in splits]),
        head_pose=stacked([split.head_pose for split in splits]),
        size=splits[0].size,
        images=JoinedImages([split.images for split in splits], [len(split) for split in splits]),
        sessions=sessions if len(known) == len(splits) else [],
        session=np.concatenate([numbers(s.sessions, sessions, i) for s, i in zip(splits, known, strict=True)])
        if len(known) == len(splits)
        else None,
        columns=columns,
    )


@dataclass
class SomeImages:
    """Rows of another reader."""

    source: Images
    rows: NDArray[np.int64]

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(n, S, S, 3)`` RGB."""
        return self.source(self.rows[rows])

    def name(self, row: int) -> str:
        """Where the row comes from."""
        return self.source.name(int(self.rows[row]))


class JoinedImages:
    """Several readers of one image size, one after the other."""

    def __init__(self, sources: Sequence[Images], counts: Sequence[int]) -> None:
        self.sources, self.starts = list(sources), np.concatenate([[0], np.cumsum(counts)])

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(n, S, S, 3)`` RGB."""
        numbers = np.searchsorted(self.starts, rows, side="right") - 1
        parts = [
            (numbers == number, self.sources[number](rows[numbers == number] - self.starts[number]))
            for number in np.unique(numbers)
        ]
        images = np.empty((len(rows), *parts[0][1].shape[1:]), np.uint8)
        for indices, values in parts:
            images[indices] = values
        return images

    def name(self, row: int) -> str:
        """Where the row comes from."""
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.sources[number].name(int(row - self.starts[number]))


@dataclass
class LoadedImages:
    """Images held in memory, and the reader that knows their names."""

    values: NDArray[np.uint8]
    source: Images

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(n, S, S, 3)`` RGB."""
        images: NDArray[np.uint8] = self.values[rows]
        return images

    def name(self, row: int) -> str:
        """Where the row comes from."""
        return self.source.name(row)


@dataclass
class GazeFolder:
    """A data folder, opened and checked.

    Attributes:
        folder: where it lies.
        size: side of the images in pixels.
        frame: the normalized frame of the labels: ``R``, ``SR`` or ``none``.
        splits: by name; ``test`` may be absent. A reader gives the data set's own parts.
        notes: what the reader decided, to be printed by every verb.
        dataset: whose data it is, a key of ``DATASETS``.
        group: what ``people`` names: ``person``, or ``recording`` where the data set names nobody.
        choices: how labels were read: order of angles, units, signs.
        faults: rows that were left out.
        parts: people by the data set's own parts, such as EYEDIAP's clusters.
        fingerprint: by which the data set is known whatever becomes of its splits; see :mod:`gazenas.data.people`.
    """

    folder: Path
    size: int
    frame: str
    splits: dict[str, GazeSplit]
    notes: list[str]
    dataset: str = "ethxgaze"
    group: str = "person"
    choices: dict[str, str] = field(default_factory=dict)
    faults: list[RowFault] = field(default_factory=list)
    parts: dict[str, list[str]] = field(default_factory=dict)
    fingerprint: str = ""

    def __post_init__(self) -> None:
        self.parts = self.parts or {name: split.people for name, split in self.splits.items()}

    def split(self, name: str) -> GazeSplit:
        """A split by name.

        Raises:
            InputError: where the folder lacks it.
        """
        if name not in self.splits:
            advice = ""
            if "train" not in self.splits:
                advice = (
                    "; 'gazenas data prepare --test-people' makes train, val and test of a pool, "
                    "'gazenas protocol' tests on one"
                )
            raise InputError(f"{self.folder}: has no {name} split (has: {', '.join(self.splits)}){advice}")
        return self.splits[name]

    def expect_size(self, input_size: int, what: str) -> None:
        """Checks that the images fit a network.

        Raises:
            InputError: where they do not.
        """
        if self.size != input_size:
            raise InputError(
                f"{self.folder}: images are {self.size} pixels wide, {what} expects {input_size}; "
                f"'gazenas data prepare {self.folder} --size {input_size}' makes a folder that fits"
            )

    def expect_labels(self, task: Task, names: Sequence[str]) -> None:
        """Checks that those of some splits that are there have a task's labels.

        Raises:
            InputError: naming what is there in their place.
        """
        for name in names:
            if name in self.splits:
                task.need(self.splits[name], f"{self.folder}: {name}")

    def expect_inputs(self, inputs: Sequence[str], names: Sequence[str]) -> None:
        """Checks that those of some splits that are there have what a network takes besides images, names of
        ``INPUTS``.

        Raises:
            InputError: naming what is there in its place.
        """
        for name in names:
            if name in self.splits:
                for each in inputs:
                    INPUTS[each].need(self.splits[name], f"{self.folder}: {name}")


def hold_out_test(folder: GazeFolder, count: int, seed: int) -> GazeFolder:
    """A pool as ``train`` and ``test``: so many people are drawn for the test by a seed, and named in the notes.

    Raises:
        InputError: where the folder has a test part of its own, or too few labeled people.
    """
    if "test" in folder.splits:
        raise InputError(f"--test-people: {folder.folder} has a test part of its own")
    pool = join("train", [split for split in folder.splits.values() if len(split)])
    if not 1 <= count <= len(pool.people) - 2:
        raise InputError(
            f"--test-people: expected 1 to {len(pool.people) - 2} of {len(pool.people)}, so that two are left to train "
            f"and validate, found {count}"
        )
    numbers = np.random.default_rng(seed).choice(len(pool.people), count, replace=False)
    tested = np.isin(pool.person, numbers)
    names = ", ".join(sorted(pool.people[number] for number in numbers))
    splits = {"train": pool.at(np.flatnonzero(~tested), "train"), "test": pool.at(np.flatnonzero(tested), "test")}
    notes = [*folder.notes, f"test, drawn by seed {seed}: {names}; our own split, not a published one"]
    return replace(folder, splits=splits, notes=notes, parts={})


def prove_disjoint(people: dict[str, list[str]], where: str, group: str = "person") -> None:
    """Proves that no person is in two splits.

    Raises:
        InputError: naming the person and the splits.
    """
    names = list(people)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            both = sorted(set(people[first]) & set(people[second]))
            if both:
                raise InputError(
                    f"{where}: {group} {both[0]!r} is in both {first} and {second} ({len(both)} such); splits must be "
                    f"by {group}"
                )


def plural(group: str) -> str:
    """``people`` for ``person``, ``recordings`` for ``recording``."""
    return {"person": "people"}.get(group, f"{group}s")
