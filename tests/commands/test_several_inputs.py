"""A network that takes boxes of the eyes besides images, from training to the exported file's errors, by the verbs."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from gazenas.commands.calibrate import run as calibrate
from gazenas.commands.compare import run as compare
from gazenas.commands.compress import run as compress
from gazenas.commands.evaluate import run as evaluate
from gazenas.commands.export import run as export
from gazenas.commands.finetune import run as finetune
from gazenas.commands.predict import run as predict
from gazenas.data.hdf5_layout import LANDMARKS
from gazenas.data.readers import open_data
from gazenas.errors import InputError
from gazenas.models.zoo import load_model
from gazenas.training.loop import predict_split


@pytest.fixture(scope="module")
def asked(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("inputs") / "run"
    words = ["--arch", "itracker@eye_boxes", "--input-size", "32", "--epochs", "1", "--batch-size", "8"]
    finetune([*words, "--data", str(data_folder), "--out", str(out)])
    return out


def error_of(model: Path, data: Path, out: Path) -> float:
    evaluate(["--model", str(model), "--data", str(data), "--out", str(out)])
    error: float = json.loads((out / "summary.json").read_text())["test_error_deg"]
    return error


def test_trained_evaluated_exported_compared(asked: Path, data_folder: Path, tmp_path: Path) -> None:
    assert json.loads((asked / "arch.json").read_text())["settings"] == {"inputs": "eye_boxes"}
    trained = json.loads((asked / "summary.json").read_text())["test_error_deg"]
    file = tmp_path / "gaze.onnx"
    export(["--model", str(asked), "--out", str(file), "--images", "9"])
    for number, model in enumerate((asked, file)):
        assert error_of(model, data_folder, tmp_path / str(number)) == pytest.approx(trained, abs=1e-3)
    out = tmp_path / "compared"
    compare([str(asked), str(file), "--data", str(data_folder), "--out", str(out), "--repeats", "3"])
    rows = [line.split(",") for line in (out / "comparison.csv").read_text().splitlines()]
    errors = [float(row[rows[0].index("error_deg")]) for row in rows[1:]]
    assert errors == pytest.approx([trained, trained], abs=1e-3)


def test_people_are_adapted_to(asked: Path, data_folder: Path, tmp_path: Path) -> None:
    """What is adapted is asked with the boxes, whatever way."""
    words = ["--model", str(asked), "--data", str(data_folder), "--out", str(tmp_path), "--k", "[5]", "--draws", "1"]
    calibrate(words)
    summary = json.loads((tmp_path / "summary.json").read_text())
    network, split = load_model(asked), open_data(data_folder).split("test")
    errors = network.task.error(predict_split(network, split), network.task.need(split, "test"))
    halves = []  # as the verb draws them
    for rows in split.rows_by_group():
        order = np.random.default_rng(0).permutation(rows)
        halves.append(errors[order[len(order) // 2 :]].mean())
    assert summary["before_deg"] == pytest.approx(np.mean(halves), abs=1e-3)
    assert set(summary["after_deg"]) == {"statistics", "blended", "bias", "affine", "last"}


def test_data_without_them_and_verbs_that_bring_none_are_answered(
    asked: Path, data_folder: Path, tmp_path: Path
) -> None:
    blind = tmp_path / "blind"
    for path in sorted(data_folder.rglob("*")):
        if path.is_file():
            (blind / path.relative_to(data_folder)).parent.mkdir(parents=True, exist_ok=True)
            (blind / path.relative_to(data_folder)).write_bytes(path.read_bytes())
    for path in blind.rglob("*.h5"):
        with h5py.File(path, "a") as file:
            del file[LANDMARKS]
    words = ["--arch", "itracker@eye_boxes", "--input-size", "32", "--epochs", "1"]
    with pytest.raises(
        InputError, match=r"train: the network takes eye_boxes \(eye_boxes\) besides images, found face_"
    ):
        finetune([*words, "--data", str(blind), "--out", str(tmp_path / "run")])
    picture = tmp_path / "face.png"
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(picture)
    alone = "the network takes eye_boxes besides images, which"
    with pytest.raises(InputError, match=alone):
        compress([str(asked), "--data", str(data_folder), "--out", str(tmp_path / "small")])
    with pytest.raises(InputError, match=alone):
        predict([str(picture), "--model", str(asked), "--out", str(tmp_path / "looks")])
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not any((tmp_path / name).exists() for name in ("small", "looks"))
