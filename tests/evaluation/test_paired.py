"""Paired differences, against every sample with replacement that there is, and against how often they hold the
truth."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import norm, t

from gazenas.evaluation.paired import LEAST_PEOPLE, errors_by_person, paired_difference

NAMES = "abcdefghij"


def by_name(values: list[float]) -> dict[str, float]:
    return dict(zip(NAMES, values, strict=False))


def test_all_samples_of_five_people() -> None:
    base, apart = [5.0, 6.0, 9.0, 4.0, 7.0], np.array([0.1, 0.5, 0.9, 0.3, 0.6])
    found = paired_difference(by_name([*(base + apart)]), by_name(base))
    assert found is not None
    assert found.mean == pytest.approx(apart.mean())
    means = np.sort([np.mean(sample) for sample in product(apart, repeat=5)])
    tail = norm.cdf(t.ppf(0.025, 4) * np.sqrt(5 / 4))  # Hesterberg 2015
    assert tail < 0.002
    assert found.interval == pytest.approx(tuple(np.quantile(means, [tail, 1 - tail])), abs=0.03)
    assert (found.people, found.story) == (5, "worse")


def test_direction_and_doubt() -> None:
    base, better = by_name([5, 6, 9, 4, 7]), by_name([4, 5.1, 8, 3.1, 6])
    assert paired_difference(better, base).story == "better"  # type: ignore[union-attr]
    assert paired_difference(base, better).story == "worse"  # type: ignore[union-attr]
    mixed = paired_difference(by_name([4, 7, 8, 5, 7.5]), base)
    assert mixed is not None
    assert mixed.story == "no difference seen"
    same = paired_difference(base, base)
    assert same is not None
    assert (same.mean, same.interval, same.story) == (0, (0, 0), "no difference seen")


def test_few_or_no_common_people() -> None:
    few = paired_difference(by_name([5.0] * (LEAST_PEOPLE - 1)), by_name([4.0] * 10))
    assert few is not None
    assert (few.mean, few.interval, few.story) == (1.0, None, "too few people to tell: 4")
    assert paired_difference({"a": 1.0}, {"b": 1.0}) is None


def test_pairing_sees_what_means_hide() -> None:
    """People differ by far more than the networks do."""
    base = np.array([3.0, 20.0, 8.0, 14.0, 5.0, 30.0, 11.0])
    found = paired_difference(by_name([*(base - 0.3 - 0.01 * np.arange(7))]), by_name([*base]))
    assert found is not None
    assert found.interval is not None
    assert found.story == "better"
    assert found.interval[1] - found.interval[0] < 0.1 < base.std()


def test_intervals_hold_the_truth() -> None:
    """Ten people, normal differences: plain percentiles hold it in 91% of samples."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(150):
        found = paired_difference(by_name([*(0.2 + 0.5 * rng.standard_normal(10))]), by_name([0.0] * 10))
        assert found is not None
        assert found.interval is not None
        held += found.interval[0] <= 0.2 <= found.interval[1]
    assert 0.91 <= held / 150 <= 0.99


def test_seeds_are_averaged_first() -> None:
    records = [
        {"name": "one", "people": {"a": 2.0, "b": 4.0}},
        {"name": "two", "people": {"a": 1.0}},
        {"name": "one", "people": {"a": 4.0, "b": 8.0}},
    ]
    assert errors_by_person(records) == {"one": {"a": 3.0, "b": 6.0}, "two": {"a": 1.0}}
