"""A teacher: what of its answers counts, that it stays as it is, and that runs with one can be repeated and resumed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gazenas.__main__ import main
from gazenas.data.loader import Batch
from gazenas.errors import InputError
from gazenas.models.baselines.handmade import handmade
from gazenas.models.zoo import build_model
from gazenas.tasks.gaze import GAZE
from gazenas.training.distillation import DISTILLATIONS, Teacher
from tests.running import TUNE, Once, assert_same_run, begin, metrics, run_bad

STUDENT = torch.tensor([0.3, 0.1, 0.5, 0.0])
TEACHER = torch.tensor([0.1, 0.2, 0.4, 0.0])


@pytest.fixture(scope="module")
def student(once: Once) -> Path:
    def write(folder: Path) -> None:
        folder.mkdir()
        handmade(input_size=32, channels=[4, 6, 6]).architecture().save(folder / "arch.json")

    return once("student", write) / "arch.json"


@pytest.mark.parametrize(
    ("kind", "shares"),
    [("plain", [1, 1, 1, 1]), ("bounded", [1, 0, 1, 0]), ("weighted", [0.75, 0.5, 0, 1]), ("trimmed", [1, 1, 0, 1])],
)
def test_shares_by_hand(kind: str, shares: list[float]) -> None:
    assert torch.allclose(DISTILLATIONS[kind](STUDENT, TEACHER), torch.tensor(shares, dtype=torch.float32))


def test_a_teacher_that_is_always_right_loses_no_share() -> None:
    right = torch.zeros(5)
    for kind, share in DISTILLATIONS.items():
        expected = torch.ones(5)
        assert torch.equal(share(torch.rand(5) + 0.1, right), expected), kind


def taught(kind: str, weight: float) -> tuple[Teacher, Batch, torch.Tensor]:
    torch.manual_seed(0)
    network = handmade(input_size=32, channels=[4, 4, 4])
    batch = Batch(torch.randn(6, 3, 32, 32), 0.3 * torch.randn(6, 2), np.arange(6))
    return Teacher(network, "it", distillation=kind, weight=weight), batch, torch.randn(6, 2, requires_grad=True)


@pytest.mark.parametrize("kind", list(DISTILLATIONS))
def test_the_mixed_loss_is_its_formula(kind: str) -> None:
    teacher, batch, prediction = taught(kind, 0.3)
    answers = teacher.network(batch.images)
    losses = teacher.mix({"gaze": GAZE.loss(prediction, batch.labels)}, prediction, batch, GAZE.loss)
    expected = 0.7 * (prediction - batch.labels).abs().mean()
    errors = [(each - batch.labels).abs().mean(1) for each in (prediction, answers)]
    pull = (DISTILLATIONS[kind](*errors) * (prediction - answers).abs().mean(1)).mean()
    total = sum(losses.values())
    assert total.item() == pytest.approx((expected + 0.3 * pull).item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(total, prediction)
    shares = DISTILLATIONS[kind](*errors)[:, None]
    by_hand = (0.7 * (prediction - batch.labels).sign() + 0.3 * shares * (prediction - answers).sign()) / 12
    assert torch.allclose(gradient, by_hand, atol=1e-6)


def test_a_tuple_begins_with_the_answer() -> None:
    teacher, batch, prediction = taught("plain", 1.0)
    alone = teacher.mix({}, prediction, batch, GAZE.loss)["teacher"]
    assert torch.equal(teacher.mix({}, (prediction, None), batch, GAZE.loss)["teacher"], alone)


def test_a_teacher_stays_as_it_is() -> None:
    teacher, batch, prediction = taught("plain", 1.0)
    before = {name: value.clone() for name, value in teacher.network.state_dict().items()}
    sum(teacher.mix({}, prediction, batch, GAZE.loss).values()).backward()  # type: ignore[union-attr]
    assert prediction.grad is not None
    assert float(prediction.grad.abs().sum()) > 0
    assert all(torch.equal(value, before[name]) for name, value in teacher.network.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.network.parameters())
    assert not teacher.network.training


def test_what_does_not_fit_is_refused() -> None:
    teacher, batch, _ = taught("plain", 0.5)
    with pytest.raises(InputError, match="answers .2,. numbers an image, the student .3,."):
        teacher.mix({}, torch.zeros(6, 3), batch, GAZE.loss)
    with pytest.raises(InputError, match="it takes images of 32 pixels, the student of 64"):
        teacher.check_student(build_model("handmade-5m"))
    with pytest.raises(InputError, match="expected one of plain, bounded, weighted, trimmed, found 'hinton'"):
        Teacher(teacher.network, "it", distillation="hinton", weight=0.5)
    with pytest.raises(InputError, match="expected 0 to 1, found 1.5"):
        Teacher(teacher.network, "it", distillation="plain", weight=1.5)


def test_a_run_with_a_teacher_is_recorded_and_resumed(
    student: Path, tuned: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["finetune", "--arch", str(student), "--data", str(data_folder), *TUNE, "--teacher", str(tuned)]
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    process = begin([*words, "--out", str(tmp_path / "killed"), "--save-minutes", "0"], "new-last.pt", "6")
    process.wait(600)
    assert main([*words, "--out", str(tmp_path / "killed"), "--resume"]) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
    summary = json.loads((tmp_path / "whole" / "summary.json").read_text())
    before = json.loads((tuned / "summary.json").read_text())
    assert summary["teacher"]["fingerprint"] == before["fingerprint"]
    assert (summary["teacher"]["distillation"], summary["teacher"]["weight"]) == ("bounded", 0.5)
    # Whoever taught the teacher has taught the student.
    assert set(before["data"]["names"]["train"]) <= set(summary["began_with"][before["data"]["fingerprint"]])
    titles = metrics(tmp_path / "whole")[0]
    assert {"gaze_loss", "teacher_loss"} <= set(titles)
    assert main([*words[:-2], "--out", str(tmp_path / "alone")]) == 0
    with (tmp_path / "alone" / "metrics.csv").open() as file:
        assert "teacher_loss" not in next(csv.reader(file))
    assert "--teacher was" in run_bad([*words[:-2], "--out", str(tmp_path / "whole"), "--resume"], capsys)
    nobody = run_bad([*words[:-1], "nobody", "--out", str(tmp_path / "bad")], capsys)
    assert "unknown subnet 'nobody'" in nobody


def test_a_search_learns_from_a_teacher(tuned: Path, data_folder: Path, tmp_path: Path) -> None:
    words = ["search", "--data", str(data_folder), "--space", str(Path(__file__).parents[1] / "micro_chain.yaml")]
    more = ["--target-macs", "50%", "--teacher", str(tuned), *TUNE, "--out", str(tmp_path / "run")]
    assert main([*words, *more]) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["teacher"]["model"] == str(tuned)
    assert "teacher_loss" in metrics(tmp_path / "run")[0]


def test_a_teacher_of_the_people_that_are_tested_is_refused(
    student: Path, tuned: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = json.loads((data_folder / "train_test_split.json").read_text())
    moved = tmp_path / "moved"
    moved.mkdir()
    for part in ("train", "test"):
        (moved / part).symlink_to(data_folder / part)
    swapped = split | {"train": [*split["train"][1:], *split["val"]], "val": split["train"][:1]}
    (moved / "train_test_split.json").write_text(json.dumps(swapped))
    words = ["finetune", "--arch", str(student), "--data", str(moved), *TUNE, "--teacher", str(tuned)]
    said = run_bad([*words, "--out", str(tmp_path / "run")], capsys)
    assert f"{tuned} was trained on 1 of the 1 people of val" in said
    assert "take another teacher" in said
