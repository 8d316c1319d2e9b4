"""Training on everybody: who validates instead, and who may not."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gazenas.__main__ import main
from gazenas.data.dataset import GazeFolder
from gazenas.data.readers import open_data
from gazenas.data.synthetic.generation import generate
from gazenas.data.validation import train_on_everybody
from gazenas.errors import InputError
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.head_pose import HEAD_POSE
from tests.conftest import Once
from tests.running import GENTLE, MICRO, run_bad, search


@pytest.fixture
def folder(data_folder: Path) -> GazeFolder:
    return open_data(data_folder)


def other_data(once: Once) -> Path:
    return once("data-validation", lambda path: generate(path, subjects=4, per_subject=6, size=32, seed=9, workers=2))


def test_nobody_is_held_out(folder: GazeFolder) -> None:
    everybody = train_on_everybody(folder, None, GAZE)
    train, val = folder.split("train"), folder.split("val")
    assert set(everybody.split("train").people) == {*train.people, *val.people}
    assert len(everybody.split("train")) == len(train) + len(val)
    assert set(everybody.splits) == {"train", "test"}
    assert "nobody validates" in everybody.notes[-1]
    assert set(folder.splits) == {"train", "val", "test"}


def test_people_of_another_folder_validate(folder: GazeFolder, once: Once) -> None:
    other = open_data(other_data(once))
    everybody = train_on_everybody(folder, other, GAZE)
    assert len(everybody.split("val")) == len(other.split("test"))
    assert everybody.split("val").name == "val"
    unlabeled = {name: replace(split, gaze=None) for name, split in other.splits.items() if name == "test"}
    chosen = train_on_everybody(folder, replace(other, splits=other.splits | unlabeled), GAZE)
    assert len(chosen.split("val")) == len(other.split("val"))


def test_who_may_not_validate(folder: GazeFolder, once: Once) -> None:
    other = open_data(other_data(once))
    trained = replace(folder, splits=folder.splits | {"test": folder.split("train")})
    for wrong, task, message in (
        (trained, GAZE, "of test of .* are trained on"),
        (replace(other, size=64), GAZE, "expected images of 32 pixels .* found 64"),
        (replace(other, frame="SR"), GAZE, "found 32 and SR"),
        (other, HEAD_POSE, "expected head_pose labels of test or val people"),
    ):
        with pytest.raises(InputError, match=message):
            train_on_everybody(folder, wrong, task)


def test_a_search_without_validation(
    data_folder: Path, tmp_path: Path, once: Once, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a family, which looks at validation errors on its way down; and one validated elsewhere."""
    none = ["--validation", "none", "--data", str(data_folder), "--space", str(MICRO), "--threads", "1"]
    words = [
        "search",
        *none,
        "--targets",
        "60%,40%",
        "--epochs",
        "3",
        "--batch-size",
        "8",
        *GENTLE,
        "--shrink-every",
        "0.5",
    ]
    assert main([*words, "--out", str(tmp_path / "none")]) == 0
    summary = json.loads((tmp_path / "none" / "summary.json").read_text())
    assert summary["val_error_deg"] is None
    assert summary["test_error_deg"] > 0
    assert "val" not in summary["data"]["people"]
    with (tmp_path / "none" / "metrics.csv").open(newline="") as file:
        assert {row["val_error_deg"] for row in csv.DictReader(file)} == {""}
    assert [member["val_error_deg"] for member in summary["family"]] == [None, None]
    words = ["search", *none, "--target-macs", "40%", "--schedule", "plateau", "--out", str(tmp_path / "bad")]
    assert "schedule: expected another where nobody is held out" in run_bad(words, capsys)
    elsewhere = str(other_data(once))
    assert main([*search(data_folder, tmp_path / "elsewhere"), "--validation", elsewhere]) == 0
    summary = json.loads((tmp_path / "elsewhere" / "summary.json").read_text())
    assert summary["val_error_deg"] > 0
    assert summary["data"]["images"]["val"] == len(open_data(other_data(once)).split("test"))
