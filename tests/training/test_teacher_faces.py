"""Faces that a teacher answers: its answers are their gaze, whatever their labels, and nobody forgets them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gazenas.__main__ import main
from gazenas.data.readers import open_data
from gazenas.data.synthetic.generation import generate
from gazenas.errors import InputError
from gazenas.models.zoo import load_model
from gazenas.training.distillation import Teacher
from gazenas.training.loop import predict_faces
from gazenas.training.processes import ALONE
from gazenas.training.teacher_faces import add_teacher_faces
from tests.running import TUNE, Once, run_bad


@pytest.fixture(scope="module")
def others(once: Once) -> Path:
    return once("others", lambda path: generate(path, subjects=3, per_subject=4, size=32, seed=9, workers=1))


def test_answers_stand_for_labels(tuned: Path, data_folder: Path, others: Path) -> None:
    network = load_model(str(tuned))
    teacher = Teacher(network, "it", distillation="plain", weight=0.5)
    own, more = open_data(data_folder), open_data(others)
    job = SimpleNamespace(folder=own, world=ALONE, device="cpu", workers=0)
    add_teacher_faces(job, teacher, str(others))  # type: ignore[arg-type]
    before, after = own.split("train"), job.folder.split("train")
    added = np.arange(len(before), len(after))
    assert len(added) == sum(len(split) for split in more.splits.values()) == 12
    assert np.array_equal(after.gaze[: len(before)], before.gaze)
    np.testing.assert_allclose(after.gaze[added], predict_faces(network, after.faces(added)), atol=1e-5)
    assert {after.people[number] for number in after.person[added]} == {f"{others.name}/{p}" for p in _people(more)}
    assert set(teacher.people[more.fingerprint]) == _people(more)
    assert own.split("train") is before


def _people(folder: object) -> set[str]:
    return {person for split in folder.splits.values() for person in split.people}  # type: ignore[attr-defined]


def test_a_run_says_whom_it_saw(
    tuned: Path, data_folder: Path, others: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["finetune", "--arch", str(tuned), "--data", str(data_folder), *TUNE]
    taught = [*words, "--teacher", str(tuned), "--teacher-faces"]
    assert main([*taught, str(others), "--out", str(tmp_path / "run")]) == 0
    summary, alone = (json.loads((path / "summary.json").read_text()) for path in (tmp_path / "run", tuned))
    assert summary["data"]["images"]["train"] == alone["data"]["images"]["train"] + 12
    assert "12 images of 3 people" in " ".join(summary["data"]["notes"])
    # They are no strangers to the student.
    evaluated = ["evaluate", "--model", str(tmp_path / "run"), "--data", str(others), "--out", str(tmp_path / "seen")]
    assert "was trained on" in run_bad(evaluated, capsys)
    bad = ["--out", str(tmp_path / "bad")]
    assert "holds the people of --data" in run_bad([*taught, str(data_folder), *bad], capsys)
    assert "expected --teacher" in run_bad([*words, "--teacher-faces", str(others), *bad], capsys)


def test_faces_of_another_size_are_refused(tuned: Path, data_folder: Path, tmp_path: Path) -> None:
    generate(tmp_path / "large", subjects=3, per_subject=1, size=48, seed=1, workers=1)
    teacher = Teacher(load_model(str(tuned)), "it", distillation="plain", weight=0.5)
    job = SimpleNamespace(folder=open_data(data_folder), world=ALONE, device="cpu", workers=0)
    with pytest.raises(InputError, match="images are 48 pixels wide, --teacher it expects 32"):
        add_teacher_faces(job, teacher, str(tmp_path / "large"))  # type: ignore[arg-type]
