"""Who is trained on and who is tested: the field's own splits, and nobody on both sides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gazenas.data.dataset import GazeFolder, GazeSplit, join
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.evaluation.protocols.folds import (
    PROTOCOLS,
    RTGENE_FOLDS,
    Fold,
    Settings,
    drawn_groups,
    hold_out_validation,
)
from gazenas.evaluation.protocols.runs import fold_path
from tests.data import layouts
from tests.data.layouts import WRITERS, Faces

OWN = {
    "ethxgaze": "ethxgaze",
    "ethxgaze-text": "ethxgaze",
    "eyediap": "eyediap",
    "gaze360": "gaze360",
    "gaze360-mat": "gaze360",
    "mpiifacegaze": "mpiifacegaze",
    "mpiifacegaze-mat": "mpiifacegaze",
    "rtgene": "rtgene",
    "table": "held-out",
}


@pytest.fixture(scope="module")
def faces(data_folder: Path) -> Faces:
    return layouts.faces_of(data_folder)


@pytest.fixture(scope="module")
def sources(faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    for name in OWN:
        WRITERS[name](root / name, faces)
    return root


def names(split: GazeSplit) -> set[str]:
    return {split.images.name(row) for row in range(len(split))}


def people_of_rows(split: GazeSplit) -> set[str]:
    return {split.people[number] for number in split.person}


@pytest.mark.parametrize("layout", OWN)
def test_nobody_and_no_image_is_on_two_sides(layout: str, sources: Path) -> None:
    """Read off the rows themselves, with validation held out or without; a tested image is tested once."""
    opened = open_data(sources / layout)
    folds, _ = PROTOCOLS[OWN[layout]].folds(opened, Settings())
    assert folds
    tested: list[str] = []
    for fold in [*folds, *(hold_out_validation(fold, 3) for fold in folds)]:
        fold.prove(opened.group)
        sides = [fold.train, fold.test, *([] if fold.val is None else [fold.val])]
        for number, one in enumerate(sides):
            for other in sides[number + 1 :]:
                assert not people_of_rows(one) & people_of_rows(other)
                assert not names(one) & names(other)
    for fold in folds:
        tested += sorted(names(fold.test))
    assert len(tested) == len(set(tested))


@pytest.mark.parametrize("layout", ["mpiifacegaze", "eyediap", "mpiifacegaze-mat", "table"])
def test_everybody_is_tested_once_and_trained_on_otherwise(layout: str, sources: Path, faces: Faces) -> None:
    folds, _ = PROTOCOLS[OWN[layout]].folds(open_data(sources / layout), Settings())
    assert sum(len(fold.test) for fold in folds) == len(faces.gaze)
    for fold in folds:
        assert len(fold.test) + len(fold.train) == len(faces.gaze)


def test_the_field_s_own_groups(sources: Path) -> None:
    """RT-GENE's three folds and its people apart, EYEDIAP's files, Gaze360's parts."""
    rtgene, notes = PROTOCOLS["rtgene"].folds(open_data(sources / "rtgene"), Settings())
    assert len(RTGENE_FOLDS[0]) + len(RTGENE_FOLDS[1]) + len(RTGENE_FOLDS[2]) == 13
    assert [fold.name for fold in rtgene] == ["fold1", "fold2", "fold3"]
    assert [people_of_rows(fold.test) for fold in rtgene] == [{"s001", "s002"}, {"s003"}, {"s005"}]
    assert all("s014" not in people_of_rows(side) for fold in rtgene for side in (fold.train, fold.test))
    assert all(fold.val is not None and people_of_rows(fold.val) == {"s014"} for fold in rtgene)
    assert any("s004" in note and "absent" in note for note in notes)
    opened = open_data(sources / "eyediap")
    eyediap, notes = PROTOCOLS["eyediap"].folds(opened, Settings())
    assert [fold.name for fold in eyediap] == ["cluster0", "cluster1", "cluster2", "cluster3"]
    assert [set(opened.parts[fold.name]) for fold in eyediap] == [people_of_rows(fold.test) for fold in eyediap]
    assert not notes
    gaze360, _ = PROTOCOLS["gaze360"].folds(open_data(sources / "gaze360"), Settings())
    assert people_of_rows(gaze360[0].train) == {"rec_000", "rec_001", "rec_002"}
    assert gaze360[0].val is not None
    assert people_of_rows(gaze360[0].val) == {"rec_003"}
    assert people_of_rows(gaze360[0].test) == {"rec_004"}


def test_eyediap_without_its_files_says_that_the_split_is_our_own(sources: Path) -> None:
    opened = open_data(sources / "eyediap")
    pool = replace(opened, parts={}, splits={"all": join("all", list(opened.splits.values()))})
    folds, notes = PROTOCOLS["eyediap"].folds(pool, Settings(seed=4))
    assert len(folds) == 4
    assert "our own split, not the published one" in notes[0]
    again, _ = PROTOCOLS["eyediap"].folds(pool, Settings(seed=4))
    assert [fold.test.fingerprint() for fold in folds] == [fold.test.fingerprint() for fold in again]


def test_angular_subsets_are_those_of_the_labels(sources: Path) -> None:
    folds, _ = PROTOCOLS["gaze360"].folds(open_data(sources / "gaze360"), Settings())
    fold = folds[0]
    assert fold.test.gaze is not None
    for limit, name in ((90, "|yaw| <= 90"), (20, "|yaw| <= 20")):
        expected = [abs(np.degrees(yaw)) <= limit for yaw in fold.test.gaze[:, 1]]
        np.testing.assert_array_equal(fold.subsets[name], expected)


def test_person_specific_shares_people_and_no_image(sources: Path) -> None:
    opened = open_data(sources / "ethxgaze")
    folds, notes = PROTOCOLS["ethxgaze-person"].folds(opened, Settings(labeled=5))
    for fold in folds:
        assert fold.known
        fold.prove(opened.group)
        assert len(fold.train) == 5
        assert people_of_rows(fold.train) == people_of_rows(fold.test) == {fold.name}
        assert not names(fold.train) & names(fold.test)
    assert "5 images of each person" in notes[0]
    with pytest.raises(InputError, match="more than 200 labeled images, found"):
        PROTOCOLS["ethxgaze-person"].folds(opened, Settings())


def test_familiar_people_come_with_a_new_session(sources: Path) -> None:
    opened = open_data(sources / "table")
    folds, notes = PROTOCOLS["familiar"].folds(opened, Settings(people=2, seed=1))
    fold = folds[0]
    known, new = fold.subsets["familiar people, new session"], fold.subsets["unfamiliar people"]
    np.testing.assert_array_equal(known, ~new)
    people = np.array(fold.test.people)[fold.test.person]
    assert set(people[known]) == people_of_rows(fold.train)
    assert not set(people[new]) & people_of_rows(fold.train)
    assert len(set(people[new])) == 2
    assert all(person in notes[0] for person in set(people[new]))
    assert fold.test.session is not None
    assert fold.train.session is not None
    trained = set(zip(np.array(fold.train.people)[fold.train.person], fold.train.session, strict=True))
    assert not trained & set(zip(people[known], fold.test.session[known], strict=True))
    with pytest.raises(InputError, match="expected recording sessions, found none"):
        PROTOCOLS["familiar"].folds(open_data(sources / "mpiifacegaze-mat"), Settings())


def test_somebody_familiar_is_tested_whatever_the_seed(sources: Path) -> None:
    opened = open_data(sources / "table")
    pool = opened.split("all")
    few = pool.at(np.flatnonzero(pool.person < 3))
    assert few.session is not None
    few.session = np.where(few.person == 1, few.session, 0)  # one of three has two sessions
    three = replace(opened, splits={"all": few}, parts={})
    for people in (1, 2):
        held = set()
        for seed in range(12):
            folds, _ = PROTOCOLS["familiar"].folds(three, Settings(people=people, seed=seed))
            counts = {name: int(mask.sum()) for name, mask in folds[0].subsets.items()}
            assert min(counts.values()) > 0, (people, seed, counts)
            held.add(frozenset(people_of_rows(folds[0].test.at(np.flatnonzero(folds[0].subsets["unfamiliar people"])))))
        assert {"anna1"} not in held
        assert len(held) == (2 if people == 1 else 1)
    one = replace(opened, splits={"all": few.at(np.flatnonzero(few.person != 1))}, parts={})
    with pytest.raises(InputError, match="expected people of two sessions or more"):
        PROTOCOLS["familiar"].folds(one, Settings())


def test_across_data_sets_only_in_one_frame(sources: Path) -> None:
    """MPIIFaceGaze's text can be unscaled; Gaze360 cannot be turned into anybody's frame."""
    text = open_data(sources / "mpiifacegaze")
    other = open_data(sources / "eyediap")
    folds, notes = PROTOCOLS["cross"].folds(text, Settings(other=other))
    assert folds[0].name == "mpiifacegaze-to-eyediap"
    assert len(folds[0].train) == len(folds[0].test)
    folds[0].prove("person")
    assert "taken for different" in notes[0]
    for left, right in ((open_data(sources / "mpiifacegaze", Reading(frame="SR")), other), (other, "gaze360")):
        test = right if isinstance(right, GazeFolder) else open_data(sources / right)
        with pytest.raises(InputError, match=r"is in frame (SR|R), .* in frame (R|none)"):
            PROTOCOLS["cross"].folds(left, Settings(other=test))
    with pytest.raises(InputError, match="expected --test-data"):
        PROTOCOLS["cross"].folds(text, Settings())
    with pytest.raises(InputError, match="the same folder"):
        PROTOCOLS["cross"].folds(text, Settings(other=text))


def test_a_person_on_both_sides_is_refused_by_name(sources: Path) -> None:
    pool = join("all", list(open_data(sources / "table").splits.values()))
    rows = np.arange(len(pool))
    fold = Fold("mixed", pool.at(rows[::2], "train"), pool.at(rows[1::2], "test"))
    with pytest.raises(InputError, match="anna0"):
        fold.prove("person")
    known = replace(fold, known="by design", test=pool.at(rows[:3], "test"))
    with pytest.raises(InputError, match=r"images/0\.png"):
        known.prove("person")


def test_groups_are_nearly_equal_and_hold_everybody() -> None:
    people = [f"p{number}" for number in range(11)]
    groups = drawn_groups(people, 4, seed=0)
    assert sorted(person for group in groups for person in group) == sorted(people)
    assert {len(group) for group in groups} == {2, 3}
    assert groups != drawn_groups(people, 4, seed=1)


def test_folds_of_hostile_names_stay_inside(sources: Path, tmp_path: Path) -> None:
    pool = join("all", list(open_data(sources / "table").splits.values()))
    pool.people = ["../../../escaped", "..", "/root", "a/b", "a_b"]
    folder = replace(open_data(sources / "table"), splits={"all": pool}, parts={})
    folds, _ = PROTOCOLS["mpiifacegaze"].folds(folder, Settings())
    paths = [fold_path(tmp_path, fold).resolve() for fold in folds]
    assert len(set(paths)) == 5
    assert {path.parent for path in paths} == {(tmp_path / "folds").resolve()}


@pytest.mark.parametrize("people", [0, 5, 9])
def test_as_many_held_out_as_there_are_is_refused(people: int, sources: Path) -> None:
    with pytest.raises(InputError, match=f"expected 1 to 4 of 5, found {people}"):
        PROTOCOLS["held-out"].folds(open_data(sources / "table"), Settings(people=people))
