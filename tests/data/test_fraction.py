"""A part of the training images: the same of everybody, nobody lost, and the same again for the same seed."""

from pathlib import Path

import numpy as np
import pytest

from gazenas.data.fraction import keep_fraction
from gazenas.data.people import people_record
from gazenas.data.readers import open_data
from gazenas.errors import InputError


@pytest.mark.parametrize(("fraction", "each"), [(0.25, 4), (0.5, 8), (0.001, 1)])
def test_everybody_keeps_the_same_part(data_folder: Path, fraction: float, each: int) -> None:
    whole = open_data(data_folder)
    part = keep_fraction(whole, fraction, seed=3)
    train, full = part.split("train"), whole.split("train")
    assert np.bincount(train.person).tolist() == [each] * len(full.people)
    assert people_record(part) == people_record(whole)
    assert part.splits["val"] is whole.splits["val"]
    assert part.splits["test"] is whole.splits["test"]
    # Each image with its own labels.
    where = {full.images.name(row): row for row in range(len(full))}
    rows = np.array([where[train.images.name(row)] for row in range(len(train))])
    assert len(set(rows.tolist())) == len(rows)
    assert train.gaze is not None
    assert full.gaze is not None
    assert np.array_equal(train.gaze, full.gaze[rows])
    assert np.array_equal(train.images(np.arange(len(train))), full.images(rows))
    assert f"fraction {fraction:g}: {len(rows)} of {len(full)} training images" in part.notes[-1]


def test_the_seed_draws(data_folder: Path) -> None:
    whole = open_data(data_folder)
    drawn = [keep_fraction(whole, 0.25, seed).split("train").fingerprint() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_all_is_the_folder_itself_and_nothing_is_refused(data_folder: Path) -> None:
    whole = open_data(data_folder)
    assert keep_fraction(whole, 1, seed=0) is whole
    for fraction in (0.0, 1.5, -0.1):
        with pytest.raises(InputError, match="--fraction: expected more than 0 and at most 1"):
            keep_fraction(whole, fraction, seed=0)
