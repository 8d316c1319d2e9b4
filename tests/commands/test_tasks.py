"""Every task from rendered data to an exported file by the same verbs; labels and weights of another task."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gazenas.__main__ import main
from gazenas.data.dataset import Faces
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.data.synthetic.generation import generate
from gazenas.export.runtime import GazeEstimator
from gazenas.models.zoo import load_model
from gazenas.report.marks import MARKS
from gazenas.tasks import TASKS
from gazenas.training.loop import predict_faces
from tests.conftest import Once
from tests.running import MICRO_CHAIN, run_bad, search

RENDERED = {
    "gaze": {},
    "head_pose": {"roll": 30.0},
    "eye_landmarks": {"view": "near-eye"},
    "screen_point": {"view": "screen"},
}
FAST = ["--epochs", "1", "--batch-size", "8", "--threads", "1", "--augment", "real"]


def data_for(task: str, once: Once) -> Path:
    words = RENDERED[task]
    return once(
        f"data-{task}",
        lambda path: generate(path, subjects=4, per_subject=12, size=32, seed=2, workers=2, **words),  # type: ignore[arg-type]
    )


def test_every_task_is_rendered_and_drawn() -> None:
    assert set(RENDERED) == set(MARKS) == set(TASKS)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n == "eye_landmarks" else pytest.mark.slow) for n in TASKS if n != "gaze"],
)
def test_from_data_to_a_file(name: str, tmp_path: Path, once: Once, capsys: pytest.CaptureFixture[str]) -> None:
    task, data = TASKS[name], data_for(name, once)
    found, file = tmp_path / "found", tmp_path / "model.onnx"
    words = search(data, found, "--task", name, "--space", str(MICRO_CHAIN), "--augment", "real")
    assert main([*words, "--epochs", "2"]) == 0
    assert main(["export", "--model", str(found), "--data", str(data), "--out", str(file)]) == 0
    assert main(["evaluate", "--model", str(file), "--data", str(data), "--out", str(tmp_path / "of-file")]) == 0
    assert main(["evaluate", "--model", str(found), "--data", str(data), "--out", str(tmp_path / "of-run")]) == 0
    said = capsys.readouterr().out
    for each in task.measures.values():
        assert each.title in said
    of_file, of_run, run = (
        json.loads((tmp_path / folder / "summary.json").read_text()) for folder in ("of-file", "of-run", "found")
    )
    for summary in (of_file, of_run, run):
        assert summary["task"] == name
        assert summary[task.key("mean_predictor_error")] > 0
        assert summary[task.key("test_error")] == pytest.approx(run[task.key("test_error")], abs=1e-3)
    assert json.loads((found / "arch.json").read_text())["task"] == name
    network, estimator = load_model(found), GazeEstimator(file)
    assert network.task is task
    assert (estimator.task, estimator.outputs, estimator.unit) == (name, task.outputs, task.unit)
    split = open_data(data, Reading(needs=task.keys)).split("test")
    images = split.images(np.arange(3))
    np.testing.assert_allclose(estimator(images), predict_faces(network, Faces(images)), atol=1e-4)
    header = (found / "predictions_test.csv").read_text().splitlines()[0].split(",")
    assert header == ["image", "person", *task.outputs, *(f"true_{output}" for output in task.outputs)]
    said = run_bad(["compress", str(found), "--data", str(data), "--out", str(tmp_path / "no")], capsys)
    assert f"knows gaze alone, found a network of the task {name}" in said
    words = ["--data", str(data), "--out", str(tmp_path / "people"), "--k", "[4]", "--draw", "spread"]
    assert main(["calibrate", "--model", str(found), *words, "--threads", "1"]) == 0
    summary = json.loads((tmp_path / "people" / "summary.json").read_text())
    assert summary[task.key("after")]["bias"]["4"] > 0
    assert summary[task.key("before")] > 0
    words = ["--task", name, "--input-size", "32", "--data", str(data), "--out", str(tmp_path / "beside"), *FAST]
    assert main(["compare", str(file), str(found), "handmade-5m", *words, "--seeds", "1", "--repeats", "2"]) == 0
    _, of_found, rival = json.loads((tmp_path / "beside" / "summary.json").read_text())["rows"]
    assert of_found[task.key("error")] == pytest.approx(run[task.key("test_error")], abs=1e-3)
    assert of_found[task.key("deviation_largest")] < 0.01  # from its own file
    assert rival[task.key("error")] > 0
    assert f"always answering the training mean: {task.show(run[task.key('mean_predictor_error')])}" in " ".join(
        capsys.readouterr().out.split()
    )
    said = run_bad(["compare", str(found), "handmade-5m", "--data", str(data), "--out", str(tmp_path / "no")], capsys)
    assert f"expected networks of one task, found {name} in {found} and gaze in handmade-5m" in said


def test_labels_and_weights_of_another_task(
    tuned: Path, data_folder: Path, tmp_path: Path, once: Once, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "run")]
    heads = ["finetune", "--arch", "handmade-9m", "--input-size", "32", "--task", "head_pose", *FAST, *out]
    said = run_bad([*heads, "--data", str(data_folder)], capsys)
    assert "lacks the key head_roll, which training needs (has: cam_index, face_gaze, face_head_pose" in said
    weights = str(tuned / "weights.safetensors")
    data = ["--data", str(data_for("head_pose", once))]
    said = run_bad(["finetune", "--arch", str(tuned), "--task", "head_pose", "--weights", weights, *data, *out], capsys)
    assert "expected weights for the task head_pose, found those of gaze" in said
    assert "expected one of gaze, head_pose" in run_bad(["search", "--task", "pose", *data, *out], capsys)
    words = ["finetune", "--arch", "gazecapture", "--input-size", "32", "--regression-weight", "2", *data, *out]
    assert "expected a network with binned angles" in run_bad(words, capsys)


def test_regression_weight_is_hopenets_alpha(tmp_path: Path, once: Once, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one step: the classes' part is the same, the other part twice as large."""
    data = data_for("head_pose", once)
    losses = []
    for weight in ("1", "2"):
        out = tmp_path / weight
        words = ["--task", "head_pose", "--arch", "hopenet-shufflenetv2", "--input-size", "32", "--data", str(data)]
        more = [
            "--epochs",
            "1",
            "--batch-size",
            "24",
            "--threads",
            "1",
            "--augment",
            "none",
            "--regression-weight",
            weight,
        ]
        assert main(["finetune", *words, *more, "--out", str(out)]) == 0
        said = capsys.readouterr().out
        parts = dict(part.split() for part in said.split("losses ")[1].split(", validation")[0].split(", "))
        losses.append({name: float(value) for name, value in parts.items()})
    assert losses[0]["classes"] == losses[1]["classes"]
    assert losses[1]["head_pose"] == pytest.approx(2 * losses[0]["head_pose"], rel=1e-4)


def test_a_data_set_that_is_only_tested_on(tmp_path: Path, once: Once, capsys: pytest.CaptureFixture[str]) -> None:
    """As AFLW2000: there is nobody to train on, and the errors are printed all the same."""
    data, tested = data_for("head_pose", once), tmp_path / "tested"
    shutil.copytree(data, tested)
    split = json.loads((tested / "train_test_split.json").read_text())
    (tested / "train_test_split.json").write_text(json.dumps({"train": [], "test": split["test"]}))
    words = ["--task", "head_pose", "--arch", "handmade-9m", "--input-size", "32", "--data", str(data), *FAST]
    assert main(["finetune", *words, "--out", str(tmp_path / "run")]) == 0
    assert (
        main(["evaluate", "--model", str(tmp_path / "run"), "--data", str(tested), "--out", str(tmp_path / "of")]) == 0
    )
    one, other = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("run", "of"))
    assert one["test_error_deg"] == pytest.approx(other["test_error_deg"], abs=1e-4)
    assert "geodesic" in capsys.readouterr().out
