"""``gazenas calibrate`` as a person runs it: the table, a person's file, and nothing applied that made it worse."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gazenas.__main__ import main
from gazenas.data.dataset import Faces
from gazenas.data.readers import open_data
from gazenas.export.runtime import GazeEstimator
from gazenas.models.build import full_architecture
from gazenas.models.zoo import build_subnet, load_model, load_space
from gazenas.training.loop import predict_faces
from tests.running import MICRO, disturb, run_bad


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    net = disturb(build_subnet(full_architecture(load_space(MICRO))))
    net.architecture().save(folder / "arch.json")
    save_file({key: value.contiguous() for key, value in net.state_dict().items()}, folder / "weights.safetensors")
    return folder


def calibrate(model: Path, data: Path, out: Path, *more: str) -> list[str]:
    return ["calibrate", "--model", str(model), "--data", str(data), "--out", str(out), "--threads", "1", *more]


def test_the_table_follows_from_the_rows(
    model: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(calibrate(model, data_folder, tmp_path, "--k", "[1, 5, 50]", "--split", "train")) == 0
    with (tmp_path / "calibration.csv").open() as file:
        rows = list(csv.DictReader(file))
    split = open_data(data_folder).split("train")
    assert {row["person"] for row in rows} == set(split.people)
    assert {row["k"] for row in rows} == {"1", "5"}  # nobody has twice 50 images
    summary = json.loads((tmp_path / "summary.json").read_text())
    for method, by_k in summary["after_deg"].items():
        for k, mean in by_k.items():
            mine = [float(row["after_deg"]) for row in rows if (row["method"], row["k"]) == (method, k)]
            assert len(mine) == 3 * len(split.people)
            assert mean == pytest.approx(sum(mine) / len(mine), abs=1e-3)
    said = " ".join(capsys.readouterr().out.split())
    assert f"mean over {len(split.people)} people of train" in said
    assert "draws that it made worse" in said


def test_a_person_s_file_is_loaded(model: Path, data_folder: Path, tmp_path: Path) -> None:
    user = tmp_path / "anna.safetensors"
    assert main(calibrate(model, data_folder, tmp_path / "out", "--k", "[8]", "--save", str(user))) == 0
    split = open_data(data_folder).split("test")
    faces = split.images(np.arange(len(split)))
    personal = predict_faces(load_model(model, user=user), Faces(faces))
    assert np.abs(personal - predict_faces(load_model(model), Faces(faces))).max() > 1e-3
    words = ["evaluate", "--model", str(model), "--data", str(data_folder), "--user", str(user)]
    assert main([*words, "--out", str(tmp_path / "evaluation"), "--split", "test"]) == 0


@pytest.mark.slow
def test_a_person_s_file_is_baked_into_an_export(model: Path, data_folder: Path, tmp_path: Path) -> None:
    user = tmp_path / "anna.safetensors"
    assert main(calibrate(model, data_folder, tmp_path / "out", "--k", "[8]", "--save", str(user))) == 0
    split = open_data(data_folder).split("test")
    faces = split.images(np.arange(len(split)))
    words = ["export", "--model", str(model), "--data", str(data_folder), "--user", str(user)]
    assert main([*words, "--out", str(tmp_path / "anna.onnx")]) == 0
    personal = predict_faces(load_model(model, user=user), Faces(faces))
    np.testing.assert_allclose(GazeEstimator(tmp_path / "anna.onnx")(faces), personal, atol=2e-5)


def test_what_makes_it_worse_is_not_applied(
    model: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person of whom the network already knows everything."""
    split = open_data(data_folder).split("test")
    faces = split.images(np.arange(len(split)))
    (tmp_path / "known").mkdir()
    lines = ["image,person,pitch_rad,yaw_rad"]
    for row, (face, gaze) in enumerate(zip(faces, predict_faces(load_model(model), Faces(faces)), strict=True)):
        Image.fromarray(face).save(tmp_path / "known" / f"{row}.png")
        lines.append(f"{row}.png,anna,{gaze[0]:.7f},{gaze[1]:.7f}")
    (tmp_path / "known" / "labels.csv").write_text("\n".join(lines))
    words = ["--split", "all", "--k", "[5]", "--save", str(tmp_path / "anna.safetensors"), "--method", "statistics"]
    assert main(calibrate(model, tmp_path / "known", tmp_path / "out", *words)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "not applied, nothing written" in said
    assert not (tmp_path / "anna.safetensors").exists()


def test_bad_input_is_named(
    model: Path, data_folder: Path, published_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    cases = {
        "--k: expected numbers of at least 1": calibrate(model, data_folder, out, "--k", "[0]"),
        "--method: expected auto or one of": calibrate(model, data_folder, out, "--method", "magic"),
        "--draw: expected one of random, spread, found": calibrate(model, data_folder, out, "--draw", "far"),
        "--person: expected one of": calibrate(model, data_folder, out, "--person", "nobody"),
        "--save: expected --person": calibrate(
            model, data_folder, out, "--split", "train", "--save", str(tmp_path / "a.safetensors")
        ),
        "expected FILE.safetensors in an existing folder": calibrate(
            model, data_folder, out, "--save", str(tmp_path / "a.pt")
        ),
        "expected gaze labels": calibrate(model, published_folder, out),
        "nobody of test has twice 30 images": calibrate(model, data_folder, out, "--k", "[30]"),
    }
    for message, arguments in cases.items():
        assert message in run_bad(arguments, capsys), arguments
    assert not out.exists() or not any(out.iterdir())
