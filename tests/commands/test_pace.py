"""``--hours`` and ``--fraction``: what fits, kept in the run folder, and no trace of the measurement in what is
trained."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml

from gazenas.__main__ import main
from gazenas.commands import _pace as pace
from gazenas.commands import _training as training
from gazenas.errors import InputError
from gazenas.training.trainer import Trainer
from tests.running import TUNE, assert_same_run, run_bad, search

HOUR = 3600


@pytest.mark.parametrize(("hours", "expected"), [(1.0, 33), (2.0, 67), (0.1, 2)])
def test_as_many_passes_as_fit(hours: float, expected: int) -> None:
    """A pass takes 10 steps of 9 s and 10 s of validation, the end 60 s; 5% of the hours are left."""
    found, story = pace.passes_within(hours, time.monotonic(), lambda: pace.Pace(9, 10, 10, 60))
    assert found == expected
    assert found * 100 + 60 <= 0.95 * hours * HOUR < (found + 1) * 100 + 60 + 1
    assert f"{expected} passes of 10 steps" in story


def test_what_was_measured_counts_and_too_little_is_refused() -> None:
    slow = pace.Pace(9, 10, 10, 60)
    assert pace.passes_within(1, time.monotonic() - 1000, lambda: slow)[0] == 23
    with pytest.raises(InputError, match=r"--hours: expected at least 0\.0468 for one pass of 10 steps"):
        pace.passes_within(0.04, time.monotonic(), lambda: slow)


def test_a_network_that_becomes_smaller() -> None:
    first, later = pace.Pace(4, 10, 2, 7), pace.Pace(1, 10, 1, 5)
    assert first.until(0.25, later) == pace.Pace(1.75, 10, 1.25, 7)
    assert pace.Pace(4, 10, 2, 7).seconds(3) == 3 * 42 + 7


def fits(epochs: int, monkeypatch: pytest.MonkeyPatch) -> list[pace.Pace]:
    """Has an hour fit so many passes; what is measured all the same."""
    measured: list[pace.Pace] = []

    def measure(trainer: Trainer) -> pace.Pace:
        measured.append(pace.measure_pace(trainer))
        return pace.Pace(0.95 * HOUR / (epochs + 0.5), 1, 0, 0)

    monkeypatch.setattr(training, "measure_pace", measure)
    return measured


@pytest.mark.slow
def test_a_search_of_an_hour_is_that_of_its_passes(
    found: Path, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = fits(5, monkeypatch)
    assert main(search(data_folder, tmp_path / "run", "--hours", "1")) == 0
    assert_same_run(found, tmp_path / "run")
    assert len(measured) == 2  # at its beginning, and as small as it will be
    assert all(each.step > 0 and each.validation > 0 and each.end > each.validation for each in measured)


def test_a_finetuning_of_an_hour_is_that_of_its_passes(
    tuned: Path, found: Path, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, out = fits(3, monkeypatch), tmp_path / "run"
    words = ["finetune", "--arch", str(found / "arch.json"), "--weights", str(found / "weights.safetensors")]
    words += ["--data", str(data_folder), *TUNE, "--hours", "1", "--out", str(out)]
    assert main(words) == 0
    assert_same_run(tuned, out)
    assert len(measured) == 1
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert (config["hours"], config["epochs"]) == (1.0, 3)
    assert json.loads((out / "summary.json").read_text())["hours"] == 1.0
    assert "--hours 1: 3 passes of 1 steps" in (out / "log.txt").read_text()
    assert main([*words, "--resume"]) == 0
    assert len(measured) == 1
    assert "3 passes, decided when the run began" in (out / "log.txt").read_text()


def test_what_does_not_go_together(found: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run_bad(search(data_folder, found, "--target-macs", "25%", "--resume"), capsys)
    assert "--target-macs was '30%', is '25%'" in said
    assert "gazenas prune RUN --kind channels --target-macs N" in said
    assert "--control: expected --epochs" in run_bad(
        search(data_folder, found, "--hours", "1", "--control", "random"), capsys
    )


def test_a_trial_on_a_part(found: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = ["finetune", "--arch", str(found / "arch.json"), "--data", str(data_folder), *TUNE, "--epochs", "1"]
    assert main([*words, "--fraction", "0.5", "--out", str(out)]) == 0
    assert yaml.safe_load((out / "config.yaml").read_text())["fraction"] == 0.5
    summary = json.loads((out / "summary.json").read_text())
    assert summary["fraction"] == 0.5
    assert summary["data"]["images"]["train"] == 24
    assert summary["data"]["notes"][-1].startswith("fraction 0.5: 24 of 48 training images")
    assert "--fraction was 0.5, is 1.0" in run_bad([*words, "--resume", "--out", str(out)], capsys)


def test_a_finished_search_goes_on_to_a_smaller_budget(found: Path, data_folder: Path, tmp_path: Path) -> None:
    """What --resume leads to where another budget is asked for."""
    words = ["prune", str(found), "--kind", "channels", "--target-macs", "60%", "--data", str(data_folder), *TUNE]
    assert main([*words, "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    before, after = (json.loads((run / "summary.json").read_text())["macs"] for run in (found, tmp_path / "run"))
    assert 0.5 * before < after <= 0.6 * before
