"""How the field evaluates: who is trained on and who is tested, for each data set and across them.

A protocol is a function from an opened data set to folds; ``PROTOCOLS`` maps names to them. Every fold is proven to
have nobody on both sides, except where a protocol is about knowing the person, which it says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gazenas.data.dataset import GazeFolder, GazeSplit, join, prove_disjoint
from gazenas.errors import InputError

RTGENE_FOLDS = (
    ("s001", "s002", "s008", "s010"),
    ("s003", "s004", "s007", "s009"),
    ("s005", "s006", "s011", "s012", "s013"),
)
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Fold:
    """One training and one test side.

    Attributes:
        name: of the fold.
        train, test: labeled rows, and rows to predict.
        val: people held out of the training side, or the data set's own, or None.
        subsets: boolean masks over the test rows by name, whose errors are reported apart.
        known: why people are on both sides; empty where they are not.
    """

    name: str
    train: GazeSplit
    test: GazeSplit
    val: GazeSplit | None = None
    subsets: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    known: str = ""

    def prove(self, group: str) -> None:
        """Proves that nobody, and no image, is on two sides.

        Raises:
            InputError: naming who or what is.
        """
        sides = {"train": self.train, "test": self.test} | ({} if self.val is None else {"val": self.val})
        where = f"fold {self.name}"
        if not self.known:
            prove_disjoint({name: side.people for name, side in sides.items()}, where, group)
        names = {name: [side.images.name(r) for r in range(len(side))] for name, side in sides.items()}
        if self.known:
            prove_disjoint(names, where, "image")


@dataclass(frozen=True)
class Settings:
    """What a protocol may be told.

    Attributes:
        seed: of everything drawn.
        people: how many are held out.
        labeled: images of a person that are trained on where the person is known.
        other: the data set that is tested on, across data sets.
    """

    seed: int = 0
    people: int = 1
    labeled: int = 200
    other: GazeFolder | None = None


Folds = Callable[[GazeFolder, Settings], tuple[list[Fold], list[str]]]


@dataclass(frozen=True)
class Protocol:
    """What it does in a line, and its folds with notes on what was decided."""

    about: str
    folds: Folds


def labeled_pool(folder: GazeFolder) -> GazeSplit:
    """All labeled rows.

    Raises:
        InputError: where there are none.
    """
    parts = [split for split in folder.splits.values() if split.gaze is not None and len(split)]
    if not parts:
        raise InputError(f"{folder.folder}: no part of it has gaze labels")
    return join("all", parts)


def of_people(pool: GazeSplit, people: Sequence[str], name: str) -> GazeSplit:
    """The rows of some people, whose order they keep.

    Raises:
        InputError: where none of them is there.
    """
    wanted = [number for number, person in enumerate(pool.people) if person in set(people)]
    if not wanted:
        raise InputError(
            f"{name}: expected at least one of {', '.join(people[:6])}, found {', '.join(pool.people[:6])}"
        )
    return pool.at(np.flatnonzero(np.isin(pool.person, wanted)), name)


def _test_each(
    pool: GazeSplit, groups: Sequence[Sequence[str]], names: Sequence[str], apart: Sequence[str] = ()
) -> list[Fold]:
    """One fold a group of people: tested on it, trained on everybody else but those ``apart``."""
    if len(groups) < 2:
        raise InputError(
            f"expected at least 2 groups of people to test in turn, found {len(groups)}: {', '.join(pool.people[:6])}"
        )
    folds = []
    for name, people in zip(names, groups, strict=True):
        others = [person for person in pool.people if person not in set(people) and person not in apart]
        folds.append(Fold(name, of_people(pool, others, "train"), of_people(pool, people, "test")))
    return folds


def _own_split(folder: GazeFolder, settings: Settings) -> tuple[list[Fold], list[str]]:
    """ETH-XGaze within the data set: trained on everybody of train, tested on test, with labels or without."""
    train = [folder.splits[name] for name in ("train", "val") if name in folder.splits]
    if not train or "test" not in folder.splits:
        raise InputError(f"{folder.folder}: expected parts train and test, found {', '.join(folder.splits)}")
    return [Fold("test", replace(join("train", train), name="train"), folder.split("test"))], []


def _person_specific(folder: GazeFolder, settings: Settings) -> tuple[list[Fold], list[str]]:
    """A fold a person: some labeled images are trained on, the person's others are tested."""
    name = next((n for n in ("test_person_specific", "test") if n in folder.splits), None)
    split = folder.splits.get(name or "")
    if split is None or split.gaze is None:
        raise InputError(f"{folder.folder}: expected a labeled part test_person_specific or test, found none")
    folds = []
    rng = np.random.default_rng(settings.seed)
    for number, person in enumerate(split.people):
        rows = np.flatnonzero(split.person == number)
        if len(rows) <= settings.labeled:
            raise InputError(
                f"{person}: expected more than {settings.labeled} labeled images, found {len(rows)}; see --labeled"
            )
        drawn = np.sort(rng.permutation(rows)[: settings.labeled])
        rest = np.setdiff1d(rows, drawn)
        known = "the person is known by design; images are not shared"
        folds.append(Fold(person, split.at(drawn, "train"), split.at(rest, "test"), known=known))
    return folds, [f"{settings.labeled} images of each person of {name} drawn by seed {settings.seed}"]


def _leave_one_out(folder: GazeFolder, settings: Settings) -> tuple[list[Fold], list[str]]:
    pool = labeled_pool(folder)
    notes = []
    if folder.dataset.startswith("mpiifacegaze") and len(pool.people) != 15:
        notes.append(f"{len(pool.people)} people, not MPIIFaceGaze's 15: not the published protocol")
    return _test_each(pool, [[person] for person in pool.people], pool.people), notes


def _eyediap(folder: GazeFolder, settings: Settings) -> tuple[list[Fold], list[str]]:
    """The cluster files where they are, else four groups drawn by seed."""
    pool = labeled_pool(folder)
    clusters = {name: people for name, people in folder.parts.items() if name.lower().startswith("cluster")}
    if clusters:
        return _test_each(pool, list(clusters.values()), list(clusters)), []
    groups = drawn_groups(pool.people, 4, settings.seed)
    note = (
        f"no cluster files: four groups of people drawn by seed {settings.seed}, our own split, not the published one"
    )
    return _test_each(pool, groups, [f"drawn{number}" for number in range(len(groups))]), [note]


def _rtgene(folder: GazeFolder, settings: Settings) -> tuple[list[Fold], list[str]]:
    pool = labeled_pool(folder)
    tested = {person for people in RTGENE_FOLDS for person in people}
    apart = [person for person in pool.people if person not in tested]
    groups = [[person for person in people if person in pool.people] for people in RTGENE_FOLDS]
    present = [(f"fold{number + 1}", people) for number, people in enumerate(groups) if people]
    folds = _test_each(pool, [people for _, people in present], [name for name, _ in present], apart)
    lacking = sorted(tested - set(pool.people))
    notes = [f"people of the published folds that are absent: {', '.join(lacking)}"] if lacking else []
    if apart:
        val = of_people(pool, apart, "val")
        folds = [replace(fold, val=val) for fold in folds]
        notes.append(f"{', '.join(apart)} validate and are neither trained on nor tested")
    return folds, notes


def _gaze360(folder: GazeFolder, settings: Settings) -> tuple[list[Fold], list[str]]:
    """The data set's own train, val and test, with the published angular subsets."""
    folds, notes = _own_split(replace(folder, splits={k: v for k, v in folder.splits.items() if k != "val"}), settings)
    test, val = folds[0].test, folder.splits.get("val")
    if test.gaze is None:
        raise InputError(f"{folder.folder}: test: expected gaze labels, found none")
    yaw = np.abs(np.rad2deg(test.gaze[:, 1]))
    subsets = {"all": yaw >= 0, "|yaw| <= 90": yaw <= 90, "|yaw| <= 20": yaw <= 20}
    return [replace(folds[0], val=val, subsets=subsets)], notes


def _cross(folder: GazeFolder, settings: Settings) -> tuple[list[Fold], list[str]]:
    """Trained on all of one data set, tested on all of another in the same frame."""
    other = settings.other
    if other is None:
        raise InputError("cross: expected --test-data, the data set to test on")
    if folder.frame != other.frame:
        raise InputError(
            f"cross: {folder.folder} is in frame {folder.frame}, {other.folder} in frame {other.frame}: angles of the "
            "two mean different things. MPIIFaceGaze's text can be read in frame R; other frames cannot be turned "
            "into one another"
        )
    train, test = labeled_pool(folder), labeled_pool(other)
    train.people = [f"{folder.dataset}/{person}" for person in train.people]
    test.people = [f"{other.dataset}/{person}" for person in test.people]
    if folder.folder.resolve() == other.folder.resolve():
        raise InputError("cross: --data and --test-data are the same folder")
    notes = [f"people of {folder.dataset} and of {other.dataset} are taken for different ones"]
    if "recording" in (folder.group, other.group):
        notes.append("one of the two names recordings, not people")
    return [
        Fold(f"{folder.dataset}-to-{other.dataset}", replace(train, name="train"), replace(test, name="test"))
    ], notes


def _held_out(folder: GazeFolder, settings: Settings) -> tuple[list[Fold], list[str]]:
    """Everybody is tested once, so many people at a time."""
    pool = labeled_pool(folder)
    if not 1 <= settings.people < len(pool.people):
        raise InputError(
            f"--people: expected 1 to {len(pool.people) - 1} of {len(pool.people)}, found {settings.people}"
        )
    groups = drawn_groups(pool.people, -(-len(pool.people) // settings.people), settings.seed)
    names = [f"held{number}" for number in range(len(groups))]
    return _test_each(pool, groups, names), [f"groups drawn by seed {settings.seed}, our own split"]


def _familiar(folder: GazeFolder, settings: Settings) -> tuple[list[Fold], list[str]]:
    """A new session of people who are trained on, beside people who are not."""
    pool = labeled_pool(folder)
    if pool.session is None:
        raise InputError(
            f"{folder.folder}: expected recording sessions, found none; a table's column session says them"
        )
    several = [person for n, person in enumerate(pool.people) if len(np.unique(pool.session[pool.person == n])) > 1]
    if not 1 <= settings.people < len(pool.people) or not several:
        raise InputError(
            f"expected people of two sessions or more beside {settings.people} held out, found {len(several)} such of "
            f"{len(pool.people)}"
        )
    rng = np.random.default_rng(settings.seed)
    drawn = {str(person) for person in rng.choice(pool.people, settings.people, replace=False)}
    if drawn.issuperset(several):  # somebody of two sessions has to stay, or nobody familiar would be tested
        stays = str(rng.choice(several))
        others = [person for person in pool.people if person != stays]
        drawn = {str(person) for person in rng.choice(others, settings.people, replace=False)}
    new = sorted(drawn)
    is_new = np.isin(pool.person, [pool.people.index(person) for person in new])
    held = np.zeros(len(pool), bool)
    for number, person in enumerate(pool.people):
        if person in several and person not in new:
            mine = pool.person == number
            held |= mine & (pool.session == rng.choice(np.unique(pool.session[mine])))
    test = np.flatnonzero(is_new | held)
    subsets = {"familiar people, new session": held[test], "unfamiliar people": is_new[test]}
    known = "people whose new session is tested are trained on by design; sessions are not shared"
    fold = Fold(
        "familiar", pool.at(np.flatnonzero(~is_new & ~held), "train"), pool.at(test, "test"), None, subsets, known
    )
    prove_disjoint({"train": fold.train.people, "unfamiliar": new}, "familiar")
    return [fold], [f"unfamiliar, drawn by seed {settings.seed}: {', '.join(new)}"]


def drawn_groups(people: Sequence[str], count: int, seed: int) -> list[list[str]]:
    """People in ``count`` groups of nearly equal size, drawn by a seed."""
    order = np.random.default_rng(seed).permutation(sorted(people))
    return [sorted(str(person) for person in group) for group in np.array_split(order, count) if len(group)]


def hold_out_validation(fold: Fold, seed: int) -> Fold:
    """The fold with a tenth of the people of its training side (at least one) held out; its own ``val`` where it has
    one.

    Raises:
        InputError: where the training side has one person.
    """
    if fold.val is not None:
        return fold
    people = fold.train.people
    if len(people) < 2:
        raise InputError(
            f"fold {fold.name}: expected at least 2 people to hold one out for validation, found {len(people)}"
        )
    count = max(1, round(VALIDATION_SHARE * len(people)))
    drawn = [people[i] for i in np.random.default_rng(seed).choice(len(people), count, replace=False)]
    rest = [person for person in people if person not in drawn]
    return replace(fold, train=of_people(fold.train, rest, "train"), val=of_people(fold.train, drawn, "val"))


PROTOCOLS: dict[str, Protocol] = {
    "ethxgaze": Protocol(
        "train on everybody of train, predict test; a file for the leaderboard where it is unlabeled", _own_split
    ),
    "ethxgaze-person": Protocol(
        "person-specific: labeled images of a person are trained on, the others tested", _person_specific
    ),
    "mpiifacegaze": Protocol("leave one person out, in turn", _leave_one_out),
    "eyediap": Protocol("the four cluster files in turn", _eyediap),
    "rtgene": Protocol("the three published folds in turn", _rtgene),
    "gaze360": Protocol(
        "the data set's own train and test; errors of all, of |yaw| <= 90 and of |yaw| <= 20 degrees", _gaze360
    ),
    "cross": Protocol("train on all of --data, test on all of --test-data", _cross),
    "held-out": Protocol("everybody is tested once, --people at a time", _held_out),
    "familiar": Protocol("a new session of training people beside new people", _familiar),
}
