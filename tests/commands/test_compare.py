"""``gazenas compare`` and ``gazenas benchmark``: any mix of networks, gone on with, and tables that follow from what
was written."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from gazenas.__main__ import main
from gazenas.commands._common import RichProgress
from gazenas.compression.coding import encode
from gazenas.counting import count_macs, count_params
from gazenas.data.readers import open_data
from gazenas.evaluation.comparison import Candidate, fresh_trials
from gazenas.evaluation.experiment import TrainingOptions
from gazenas.gaze import angular_error
from gazenas.models.zoo import build_model, load_model
from gazenas.training.finetuning import FinetuneRecipe
from gazenas.training.loop import predict_faces
from gazenas.training.signals import Interruption
from tests.running import TUNE, begin, run_bad


def compare(data: Path, out: Path, *models: str) -> list[str]:
    recipe = [*TUNE, "--epochs", "1", "--repeats", "3", "--input-size", "32"]
    return ["compare", *models, "--data", str(data), "--out", str(out), *recipe]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_mix_of_everything(
    found: Path, tuned: Path, exported: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file, a trained run, an architecture alone and a comparator; killed while it trains, and gone on with."""
    models = [str(exported), str(tuned), str(found / "arch.json"), "gazecapture-shuffle"]
    command = compare(data_folder, tmp_path / "out", *models)
    process = begin(command, "predictions_test.csv", "2")
    process.wait(600)
    assert process.returncode == -signal.SIGKILL
    done = tmp_path / "out" / "runs" / "arch" / "seed0" / "weights.safetensors"
    before = done.read_bytes()
    assert main(command) == 0
    rows = {row["name"]: row for row in rows_of(tmp_path / "out" / "comparison.csv")}
    assert list(rows) == ["tuned.onnx", tuned.name, "arch", "gazecapture-shuffle"]
    assert [row["trained"] for row in rows.values()] == ["as it is", "as it is", "2 seeds", "2 seeds"]
    assert done.read_bytes() == before
    split = open_data(data_folder).split("test")
    assert split.gaze is not None
    errors = angular_error(predict_faces(load_model(tuned), split.faces(np.arange(len(split)))), split.gaze)
    for name in ("tuned.onnx", tuned.name):
        assert float(rows[name]["error_deg"]) == pytest.approx(errors.mean(), abs=1e-3)
    assert float(rows["tuned.onnx"]["params"]) == float(rows[tuned.name]["params"]) == count_params(load_model(tuned))
    shuffle = build_model("gazecapture-shuffle", input_size=32)
    assert float(rows["gazecapture-shuffle"]["macs"]) == count_macs(shuffle, 32)
    runs = []
    for seed in (0, 1):
        table = rows_of(tmp_path / "out" / "runs" / "gazecapture-shuffle" / f"seed{seed}" / "predictions_test.csv")
        values = np.array([[float(row[k]) for k in ("pitch", "yaw", "true_pitch", "true_yaw")] for row in table])
        runs.append(float(angular_error(values[:, :2], values[:, 2:]).mean()))
    assert float(rows["gazecapture-shuffle"]["error_deg"]) == pytest.approx(np.mean(runs), abs=2e-3)
    assert float(rows["gazecapture-shuffle"]["spread_deg"]) == pytest.approx(np.std(runs, ddof=1), abs=4e-3)
    latency = rows_of(tmp_path / "out" / "latency.csv")
    for name, row in rows.items():
        taken = [float(r["milliseconds"]) for r in latency if (r["model"], r["threads"]) == (name, "one thread")]
        assert len(taken) == 3
        assert float(row["median_ms_1"]) == pytest.approx(np.median(taken), abs=1e-3)
        assert float(row["median_ms_batch_16"]) > 0
    assert float(rows[tuned.name]["deviation_largest_deg"]) < 0.01  # from the first, which is its own file
    assert rows["tuned.onnx"]["deviation_mean_deg"] == rows["arch"]["deviation_mean_deg"] == ""
    assert rows["tuned.onnx"]["difference_deg"] == rows["tuned.onnx"]["verdict"] == ""
    people = [(row["name"], float(row["mean_deg"])) for row in rows_of(tmp_path / "out" / "people.csv")]
    own, first = ([mean for name, mean in people if name == which] for which in ("arch", "tuned.onnx"))
    assert float(rows["arch"]["difference_deg"]) == pytest.approx(np.mean(own) - np.mean(first), abs=2e-3)
    assert rows["arch"]["verdict"] == "too few people to tell: 1"
    assert len((tmp_path / "out" / "comparison.md").read_text().splitlines()) == 6
    assert "always answering the training mean" in capsys.readouterr().out
    assert "arch/seed0: was finished with other images or settings: epochs was 1, is 2" in run_bad(
        [*command, "--epochs", "2"], capsys
    )
    record = tmp_path / "out" / "runs" / "arch" / "seed0" / "summary.json"
    other = json.loads(record.read_text()) | {"train_hash": "of another data set"}
    record.write_text(json.dumps(other))
    assert "train_hash was 'of another data set', is '" in run_bad(command, capsys)


@pytest.mark.parametrize("name", ["..", ".", "/a/b", "../../escaped", "x" * 300])
def test_a_run_stays_inside_the_folder_whatever_it_is_called(name: str, data_folder: Path, tmp_path: Path) -> None:
    options = TrainingOptions("cpu", 0, 5.0, RichProgress(), Interruption())
    candidate = Candidate(name, "handmade-9m", "fresh", 32)
    folder = open_data(data_folder)
    (trial,) = fresh_trials(candidate, folder, FinetuneRecipe(), [3], tmp_path, options)
    assert trial.path.resolve().parent.parent == (tmp_path / "runs").resolve()
    assert trial.path.name == "seed3"
    assert len(trial.path.parent.name) <= 140


def test_benchmark(exported: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"  # a name would be exported first, as the comparison's networks are
    shutil.copy(exported, other)
    coded = tmp_path / "coded.onnx.xz"
    coded.write_bytes(encode(exported.read_bytes()))
    words = ["benchmark", str(other), str(exported), str(coded), "--repeats", "4", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    rows = rows_of(tmp_path / "out" / "latency.csv")
    for threads, by_model in summary["ms"].items():
        for name, values in by_model.items():
            taken = [float(row["milliseconds"]) for row in rows if (row["model"], row["threads"]) == (name, threads)]
            assert len(taken) == 4
            assert values["median"] == pytest.approx(np.median(taken), abs=1e-3)
            assert values["p95"] == pytest.approx(np.percentile(taken, 95), abs=1e-3)


def test_bad_input_is_named(
    found: Path, data_folder: Path, published_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, rubbish = tmp_path / "out", tmp_path / "rubbish.onnx"
    rubbish.write_bytes(b"no model")
    cases = {
        "unknown subnet 'alexnet'": compare(data_folder, out, "alexnet"),
        "no such ONNX file": compare(data_folder, out, "absent.onnx"),
        "expected an ONNX file written by 'gazenas export'": compare(data_folder, out, str(rubbish)),
        "was given twice": compare(data_folder, out, str(found / "arch.json"), str(found / "arch.json")),
        "test: expected gaze labels": compare(published_folder, out, "gazecapture"),
        "epochs: expected more than 0": [*compare(data_folder, out, "gazecapture"), "--epochs", "0"],
    }
    for message, arguments in cases.items():
        assert message in run_bad(arguments, capsys), arguments
