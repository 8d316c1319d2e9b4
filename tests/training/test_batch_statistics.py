"""BatchNorms that go by the images answered together: by PyTorch's own training mode, and in a fine-tuning's choice."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gazenas.__main__ import main
from gazenas.data.dataset import GazeSplit
from gazenas.data.loader import normalize
from gazenas.data.readers import open_data
from gazenas.data.synthetic.generation import generate
from gazenas.evaluation.adaptation import adaptation_table, adapted_errors
from gazenas.gaze import angular_error
from gazenas.models.build import full_architecture
from gazenas.models.zoo import build_model, build_supernet, load_model, load_space
from gazenas.training.batch_statistics import own_statistics, predict_by_session, session_batches
from gazenas.training.loop import predict_faces
from tests.running import MICRO, TUNE, Once


@pytest.fixture(scope="module")
def recordings(once: Once) -> Path:
    """Four people of two or three sessions."""
    return once(
        "recordings", lambda out: generate(out, subjects=4, per_subject=12, size=32, seed=5, workers=1, sessions=3)
    )


@pytest.fixture(scope="module")
def split(recordings: Path) -> GazeSplit:
    return open_data(recordings).split("train")


@pytest.mark.parametrize("name", ["handmade-5m", "gazenas_fast_tiny", "gazenas_tiny"])
def test_it_is_what_training_mode_sees(name: str) -> None:
    """Where nothing else differs between the modes; whatever was stored is neither used nor touched."""
    network = (build_supernet(name) if name.startswith("gazenas") else build_model(name)).eval()
    images = torch.randn(6, 3, 64, 64)
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if "running" in key:
                value.add_(0.7)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        with own_statistics(network):
            found = network(images)
            assert not torch.allclose(network(images[:3]), found[:3], atol=1e-4)
        after = network.state_dict()
        assert all(torch.equal(after[key], value) for key, value in before.items())
        assert not torch.allclose(network(images), found, atol=1e-4)
        torch.testing.assert_close(network.train()(images), found, rtol=1e-4, atol=1e-5)


def test_batches_are_of_one_session(split: GazeSplit) -> None:
    parts = session_batches(split, 4)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(split)))
    assert split.session is not None
    for rows in parts:
        assert 2 <= len(rows) <= 4
        assert len({(split.person[row], split.session[row]) for row in rows}) == 1


def test_each_batch_is_answered_by_itself(split: GazeSplit) -> None:
    network = build_model("handmade-5m", input_size=32).eval()
    found = predict_by_session(network, split, 4)
    for rows in session_batches(split, 4):
        with torch.no_grad():
            alone = network.train()(normalize(torch.from_numpy(split.images(rows))))
        network.eval()
        np.testing.assert_allclose(found[rows], alone.numpy(), rtol=1e-3, atol=1e-5)


def test_three_ways_to_answer(split: GazeSplit) -> None:
    network = build_model("handmade-5m", input_size=32).eval()
    errors = adapted_errors(network, split, images=3, seed=0)
    stored, batch, few = errors.values()
    assert split.gaze is not None
    faces = split.faces(np.arange(len(split)))
    np.testing.assert_allclose(stored, angular_error(predict_faces(network, faces), split.gaze), atol=1e-3)
    np.testing.assert_allclose(batch, angular_error(predict_by_session(network, split), split.gaze), atol=1e-3)
    groups = split.group(by_session=True)
    for number in np.unique(groups):
        size = int((groups == number).sum())
        assert np.isnan(few[groups == number]).sum() == min(3, size // 2)
    table = adaptation_table(errors, {"first": split.person == 0, "nobody": split.person == 9})
    assert [row["images"] for row in table] == [12, 0, 12, 0, int((~np.isnan(few[split.person == 0])).sum()), 0]
    assert table[0]["mean_deg"] == pytest.approx(stored[split.person == 0].mean())
    assert table[1]["mean_deg"] is None


def test_a_run_validates_as_it_trains(recordings: Path, tmp_path: Path) -> None:
    words = ["finetune", "--arch", "handmade-5m", "--input-size", "32", "--data", str(recordings), *TUNE]
    assert main([*words, "--batches", "session", "--keep", "last", "--out", str(tmp_path / "run")]) == 0
    with (tmp_path / "run" / "metrics.csv").open() as file:
        said = float(list(csv.DictReader(file))[-1]["val_error_deg"])
    val, network = open_data(recordings).split("val"), load_model(tmp_path / "run").eval()
    size = json.loads((tmp_path / "run" / "summary.json").read_text()).get("batch_size", 64)
    found = angular_error(predict_by_session(network, val, size), val.gaze).mean()
    assert said == pytest.approx(found, abs=1e-2)
    assert abs(angular_error(predict_faces(network, val.faces(np.arange(len(val)))), val.gaze).mean() - said) > 1e-3


def test_protocol_and_calibration_go_by_session(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full_architecture(load_space(MICRO)).save(tmp_path / "arch.json")
    words = ["protocol", "familiar", "--data", str(recordings), "--arch", str(tmp_path / "arch.json")]
    words += ["--people", "1", "--batches", "session", "--session-images", "3", "--epochs", "1", "--batch-size", "8"]
    assert main([*words, "--threads", "1", "--out", str(tmp_path / "familiar")]) == 0
    summary = json.loads((tmp_path / "familiar" / "summary.json").read_text())
    subsets = ["familiar people, new session", "unfamiliar people"]
    assert [row["subset"] for row in summary["adapted"]] == 3 * subsets
    with (tmp_path / "familiar" / "adapted.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["mean_deg"]) for row in rows] == pytest.approx([row["mean_deg"] for row in summary["adapted"]])
    # What is stored is what the predictions that were written say.
    for row, subset in zip(rows, subsets, strict=False):
        assert float(row["mean_deg"]) == pytest.approx(summary["subsets"][subset]["mean_deg"], abs=2e-3)
    (model,) = (tmp_path / "familiar" / "folds").iterdir()
    calibrate = ["calibrate", "--model", str(model), "--data", str(recordings), "--split", "val", "--k", "[1, 2]"]
    calibrate += ["--threads", "1"]
    assert main([*calibrate, "--by", "session", "--out", str(tmp_path / "by")]) == 0
    with (tmp_path / "by" / "calibration.csv").open() as file:
        names = {row["person"] for row in csv.DictReader(file)}
    val = open_data(recordings).split("val")
    assert names == {f"{val.people[0]}, {val.sessions[n]}" for n in np.unique(val.session)}
    assert "of the session" in " ".join(capsys.readouterr().out.split())
