"""The clock of a run, and steps that suddenly take long."""

from __future__ import annotations

import pytest

from gazenas.training.clock import Clock, Straggler


def test_a_sudden_slowness_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("gazenas.training.clock.time.monotonic", lambda: now[0])
    straggler, said = Straggler(), []
    for seconds in [0.2] * 25 + [0.5, 3.0, 0.2, 9.0]:
        now[0] += seconds
        said.append(straggler.step())
    assert [index for index, text in enumerate(said) if text] == [26]
    assert "a step took 3.0 s, usually 0.20 s" in said[26]


def test_a_clock_that_goes_on_counts_what_was_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("gazenas.training.clock.time.monotonic", lambda: now[0])
    clock = Clock(started=100.0)
    now[0] = 110.0
    clock.begin_epoch()
    clock.count({})
    now[0] = 117.0
    state = clock.state()
    now[0] = 3.0  # another process, on a machine started since
    clock = Clock.from_state(state)
    now[0] = 5.0
    clock.begin_epoch()
    assert (now[0] - clock.started, now[0] - clock.begun) == (19.0, 9.0)
    clock.end_epoch({})
    now[0] = 6.0
    clock.begin_epoch()
    assert (now[0] - clock.started, now[0] - clock.begun) == (20.0, 0.0)


def test_means_are_of_this_epochs_steps() -> None:
    clock = Clock()
    for value in (1.0, 3.0):
        clock.count({"gaze": value, "penalty": 2.0})
    again = Clock.from_state(clock.state())
    again.count({"gaze": 5.0, "penalty": 2.0})
    assert again.means() == {"gaze": 3.0, "penalty": 2.0}
    assert (again.steps, again.epoch_steps) == (3, 3)
    again.end_epoch({"epoch": 0})
    again.count({"gaze": 7.0})
    assert again.means() == {"gaze": 7.0}
    assert (again.epoch, again.steps, again.epoch_steps) == (1, 4, 1)
