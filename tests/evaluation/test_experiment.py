"""Trials that are done once and in any order, and a table of their errors against formulas of its own."""

from __future__ import annotations

import json
import statistics
import threading
from pathlib import Path

import pytest

from gazenas.errors import InputError, StoppedError
from gazenas.evaluation.experiment import Trial, error_table, run_trials
from gazenas.evaluation.verb_processes import VerbError


class Book:
    """Trials that note when they are trained."""

    def __init__(self, root: Path) -> None:
        self.root, self.trained, self.lock = root, [], threading.Lock()
        self.bad: dict[str, Exception] = {}

    def trial(self, name: str, seed: int = 0, **fixed: object) -> Trial:
        path = self.root / name / f"seed{seed}"

        def train() -> None:
            with self.lock:
                self.trained.append((name, seed))
            if name in self.bad:
                raise self.bad[name]
            path.mkdir(parents=True, exist_ok=True)
            (path / "summary.json").write_text(json.dumps({"name": name, "seed": seed, **fixed}))

        return Trial(name, seed, path, train, fixed=fixed)


@pytest.mark.parametrize("jobs", [1, 3])
def test_what_is_finished_is_not_done_again(jobs: int, tmp_path: Path) -> None:
    book, reports = Book(tmp_path), []
    trials = [book.trial(name, seed) for name in ("a", "b") for seed in (0, 1)]
    trials[2].train()
    book.trained.clear()
    finished = run_trials(trials, jobs=jobs, report=lambda done: reports.append([(t.name, t.seed) for t in done]))
    assert finished == trials
    assert sorted(book.trained) == [("a", 0), ("a", 1), ("b", 1)]
    assert reports[0] == [("b", 0)]  # what was there is shown at once
    assert [len(done) for done in reports] == [1, 2, 3, 4]
    assert all(done == sorted(done) for done in reports)  # in the order of the trials, whoever ends first
    book.trained.clear()
    assert run_trials(trials, jobs=jobs) == trials
    assert not book.trained


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_verb_that_fails_stops_no_other(jobs: int, tmp_path: Path) -> None:
    book, told = Book(tmp_path), []
    book.bad["b"] = VerbError("b ended with status 1")
    trials = [book.trial(name) for name in ("a", "b", "c")]
    assert [trial.name for trial in run_trials(trials, jobs=jobs, failed=told.append)] == ["a", "c"]
    assert told == [book.bad["b"]]
    with pytest.raises(VerbError, match="status 1"):
        run_trials(trials, jobs=jobs)
    book.bad.clear()
    assert len(run_trials(trials, jobs=jobs)) == 3


def test_a_signal_ends_the_experiment(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.bad["b"] = StoppedError(15, "stopped")
    with pytest.raises(StoppedError):
        run_trials([book.trial(name) for name in ("a", "b", "c")], failed=lambda error: None)
    assert book.trained == [("a", 0), ("b", 0)]


def test_other_images_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.trial("b", test_hash="old", epochs=3).train()
    book.trained.clear()
    with pytest.raises(InputError, match="test_hash was 'old', is 'new'; use another --out"):
        run_trials([book.trial("a"), book.trial("b", test_hash="new", epochs=3)])
    assert not book.trained
    assert len(run_trials([book.trial("a"), book.trial("b", test_hash="old", epochs=3)])) == 2


def test_the_table_is_by_name_and_seed() -> None:
    errors = {"found": {0: 7.0, 1: 9.0, 2: 7.5}, "rival": {1: 9.5, 2: 8.5}, "as it is": {None: 6.25}}
    records = [
        {"kind": name, "seed": seed, "error": error, "macs": 10 * error, "other": "text"}
        for name, by_seed in errors.items()
        for seed, error in by_seed.items()
    ]
    table = error_table(records, name="kind", error="error", means=("macs",))
    assert list(table) == list(errors)
    for name, row in table.items():
        values = list(errors[name].values())
        assert row.errors == errors[name]
        assert row.mean == pytest.approx(statistics.fmean(values))
        assert row.deviation == (pytest.approx(statistics.stdev(values)) if len(values) > 1 else None)
        assert row.means == {"macs": pytest.approx(10 * statistics.fmean(values))}
    assert table["rival"].above(table["found"]) == pytest.approx(((9.5 - 9.0) + (8.5 - 7.5)) / 2)  # seeds of both
    assert table["found"].above(table["found"]) == 0
    assert table["as it is"].above(table["found"]) is None
    cells = [table[name].above_cell(table["found"]) for name in ("rival", "found", "as it is")]
    assert cells == ["+0.75\u00b0", "", ""]
    assert table["found"].cells() == ["7.83\u00b0", "1.04\u00b0", "7.00 9.00 7.50"]
    assert table["as it is"].cells() == ["6.25\u00b0", "one seed", "6.25"]
