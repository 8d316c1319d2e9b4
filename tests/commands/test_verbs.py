"""The verbs as a person runs them: the whole job on a micro space, same bytes twice, resumed after a kill, bad
input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from gazenas.__main__ import VERBS, main
from gazenas.data.loader import Loader
from gazenas.data.readers import open_data
from gazenas.evaluation.protocols.folds import PROTOCOLS
from gazenas.export.runtime import GazeEstimator
from gazenas.gaze import angular_error
from gazenas.models.zoo import build_subnet, load_model
from tests.running import MICRO, SEARCH, TUNE, assert_same_run, metrics, run_bad, search


def test_search_leaves_what_it_promises(found: Path) -> None:
    for name in (
        "config.yaml",
        "arch.json",
        "weights.safetensors",
        "metrics.csv",
        "summary.json",
        "log.txt",
        "checkpoint/last.pt",
    ):
        assert (found / name).is_file(), name
    for name in ("search", "architecture", "predictions", "extremes", "error_by_angle"):
        assert (found / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    summary = json.loads((found / "summary.json").read_text())
    assert (
        0.98 * summary["target_macs"]
        <= summary["macs"]
        <= summary["target_macs"]
        == round(0.3 * summary["supernet_macs"])
    )
    expected = {
        "verb",
        "macs",
        "params",
        "input_size",
        "test_error_deg",
        "val_error_deg",
        "mean_predictor_error_deg",
        "head_pose_error_deg",
    }
    expected |= {"seconds", "seed", "fingerprint", "supernet_macs", "target_macs", "lambda"}
    assert expected <= set(summary)
    rows = metrics(found)
    moved, cut = rows[0].index("moved_deg"), rows[0].index("cut")
    assert all(float(row[moved]) < 1e-2 and row[cut] == "0" for row in rows[1:])


def test_another_seed_other_bytes(found: Path, data_folder: Path, tmp_path: Path) -> None:
    assert main(search(data_folder, tmp_path / "other", "--seed", "1")) == 0
    assert (tmp_path / "other" / "weights.safetensors").read_bytes() != (found / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("wait_for", ["metrics.csv", pytest.param("log.txt", marks=pytest.mark.slow)])
def test_killed_and_resumed(found: Path, data_folder: Path, tmp_path: Path, wait_for: str) -> None:
    out = tmp_path / "killed"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "gazenas", *search(data_folder, out)], env=environment, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 600
    while not (out / wait_for).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert main(search(data_folder, out, "--resume")) == 0
    assert_same_run(found, out)


def test_finetune_resumed_from_an_earlier_checkpoint(
    found: Path, tuned: Path, data_folder: Path, tmp_path: Path
) -> None:
    """A damaged newest checkpoint falls back to the one before; the end is the same."""
    out = tmp_path / "tune"
    arguments = [
        "finetune",
        "--arch",
        str(found / "arch.json"),
        "--weights",
        str(found / "weights.safetensors"),
        "--data",
        str(data_folder),
    ]
    assert main([*arguments, *TUNE, "--out", str(out)]) == 0
    (out / "weights.safetensors").unlink()
    (out / "checkpoint" / "last.pt").write_bytes(b"damaged")
    assert main([*arguments, *TUNE, "--out", str(out), "--resume"]) == 0
    assert_same_run(tuned, out)
    assert "last.pt cannot be read" in (out / "log.txt").read_text()


@pytest.mark.parametrize("schedule", ["plateau", "steps"])
def test_finetune_from_fresh_weights_by_schedule(found: Path, data_folder: Path, tmp_path: Path, schedule: str) -> None:
    more = ["--lr", "5e-4", "--schedule", schedule, "--decay", "0.5", "--milestones", "[1, 2]", "--patience", "1"]
    assert (
        main(
            ["finetune", "--arch", str(found), "--data", str(data_folder), *TUNE, *more, "--out", str(tmp_path / "run")]
        )
        == 0
    )
    rows = metrics(tmp_path / "run")
    rates = [float(row[rows[0].index("lr")]) for row in rows[1:]]
    assert rates[0] == 5e-4
    if schedule == "steps" and len(rates) > 1:
        assert rates[1] == 2.5e-4


def test_subnet_is_the_searchs_frozen_output_bit_for_bit(found: Path) -> None:
    """In a process that never imports what a subnet does not need."""
    code = (
        "import sys, numpy, torch, gazenas; torch.set_num_threads(1)\n"
        f"net = gazenas.build_subnet({str(found / 'arch.json')!r}, "
        f"weights={str(found / 'weights.safetensors')!r}).eval()\n"
        "images = torch.from_numpy(numpy.random.default_rng(0).standard_normal((3, 3, 32, 32), dtype='float32'))\n"
        "heavy = [m for m in ('h5py', 'scipy', 'fvcore', 'matplotlib', 'gazenas.search', 'onnx', 'yaml') if m in "
        "sys.modules]\n"
        "assert not heavy, heavy\n"
        "with torch.no_grad(): print(net(images).numpy().tobytes().hex())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    images = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 3, 32, 32), dtype=np.float32))
    with torch.no_grad():
        expected = load_model(found)(images)
    assert result.stdout.strip() == expected.numpy().tobytes().hex()


def test_evaluate_agrees_with_the_summary(tuned: Path, data_folder: Path, tmp_path: Path) -> None:
    assert (
        main(
            [
                "evaluate",
                "--model",
                str(tuned),
                "--data",
                str(data_folder),
                "--split",
                "test",
                "--out",
                str(tmp_path / "e"),
            ]
        )
        == 0
    )
    evaluated = json.loads((tmp_path / "e" / "summary.json").read_text())
    summary = json.loads((tuned / "summary.json").read_text())
    for key in ("test_error_deg", "mean_predictor_error_deg", "head_pose_error_deg", "macs", "params"):
        assert evaluated[key] == pytest.approx(summary[key], rel=1e-5), key
    assert evaluated["fingerprint"] == summary["fingerprint"]
    table = np.genfromtxt(tmp_path / "e" / "predictions_test.csv", delimiter=",", skip_header=1, usecols=(2, 3, 4, 5))
    assert angular_error(table[:, :2], table[:, 2:]).mean() == pytest.approx(evaluated["test_error_deg"], abs=1e-3)


@pytest.mark.parametrize(
    "more",
    [
        (),
        pytest.param(("--precision", "fp16"), marks=pytest.mark.slow),
        pytest.param(("--channel-multiple", "8"), marks=pytest.mark.slow),
    ],
)
def test_export_and_runtime_agree_with_torch(
    tuned: Path, exported: Path, data_folder: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    out, precision = exported, "fp16" if "fp16" in more else "fp32"
    if more:
        out = tmp_path / "gaze.onnx"
        assert main(["export", "--model", str(tuned), "--data", str(data_folder), "--out", str(out), *more]) == 0
    assert list(out.parent.iterdir()) == [out]
    estimator = GazeEstimator(out)
    split = open_data(data_folder).split("test")
    rows = np.arange(len(split))
    faces = split.images(rows)
    with torch.no_grad():
        (batch,) = Loader(split, len(split), 0, train=False).epoch(0)
        expected = load_model(tuned)(batch.images).numpy()
    limit = 0.01 if precision == "fp32" else 0.25
    assert angular_error(estimator(faces), expected).max() < limit
    assert angular_error(estimator(faces[..., ::-1], color_order="BGR"), expected).max() < limit
    np.testing.assert_allclose(estimator(faces[0]), estimator(faces)[0], atol=1e-4 if precision == "fp32" else 1e-2)
    with pytest.raises(ValueError, match="expected uint8 faces"):
        estimator(faces.astype(np.float32))  # type: ignore[arg-type]


def test_published_folder_runs_through_every_verb(
    published_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    assert main(search(published_folder, runs / "s")) == 0
    assert (
        main(["finetune", "--arch", str(runs / "s"), "--data", str(published_folder), *TUNE, "--out", str(runs / "f")])
        == 0
    )
    assert (
        main(["evaluate", "--model", str(runs / "f"), "--data", str(published_folder), "--out", str(runs / "e")]) == 0
    )
    said = capsys.readouterr().out
    assert "drew 1 of 4 people" in said
    assert "no labels" in said
    for name in ("s", "f", "e"):
        assert json.loads((runs / name / "summary.json").read_text())["test_error_deg"] is None
        assert len((runs / name / "predictions_test.csv").read_text().splitlines()) == 17


def test_same_config_same_bytes(found: Path, tmp_path: Path) -> None:
    """The seed is in the config, and the run has all from there."""
    assert main(["search", "--config", str(found / "config.yaml"), "--out", str(tmp_path / "again")]) == 0
    assert_same_run(found, tmp_path / "again")


@pytest.mark.pictures
def test_looking(data_folder: Path, found: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", str(data_folder), "--count", "10", "--out", str(tmp_path / "f.png")]) == 0
    assert main(["summary", str(found), "--verify", "--out", str(tmp_path / "a.png")]) == 0
    assert main(["summary", "gazenas_tiny"]) == 0
    said = capsys.readouterr().out
    macs = json.loads((found / "summary.json").read_text())["macs"]
    assert f"{macs:,} MACs" in said
    assert f"fvcore counts {macs:,} MACs" in said
    assert (tmp_path / "f.png").stat().st_size > 10_000


def test_a_comparator_goes_through_the_verbs(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a loss of its own in training, whose parts are printed."""
    words = ["finetune", "--arch", "gazecapture-reconstruction", "--input-size", "32", "--data", str(data_folder)]
    assert main([*words, *TUNE, "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    assert "losses gaze 0." in capsys.readouterr().out
    evaluate = ["evaluate", "--model", str(tmp_path / "run"), "--data", str(data_folder)]
    assert main([*evaluate, "--out", str(tmp_path / "evaluation")]) == 0
    summaries = [json.loads((tmp_path / out / "summary.json").read_text()) for out in ("run", "evaluation")]
    assert summaries[0]["test_error_deg"] == pytest.approx(summaries[1]["test_error_deg"], rel=1e-5)
    assert summaries[0]["fingerprint"] == summaries[1]["fingerprint"]
    capsys.readouterr()
    assert main(["summary", str(tmp_path / "run"), "--verify"]) == 0
    said = capsys.readouterr().out
    macs = summaries[0]["macs"]
    assert f"{macs:,} MACs (the papers' FLOPs); {summaries[0]['params']:,} parameters" in said
    assert f"fvcore counts {macs:,} MACs, torch's counter {macs:,}" in said
    assert "expected a searched network" in run_bad(
        ["summary", "gazecapture", "--out", str(tmp_path / "a.png")], capsys
    )


def test_dry_run_trains_nothing(data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(search(data_folder, tmp_path / "dry", "--dry-run", "--recipe", "paper")) == 0
    said = capsys.readouterr().out
    assert "decay_every: 5" in said
    assert "hours of training" in said
    assert "M MACs" in said
    assert not (tmp_path / "dry").exists()


def test_bad_input_is_status_2_and_one_message(
    data_folder: Path, found: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    data = str(data_folder)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    cases = {
        "no such data folder": ["search", "--data", str(tmp_path / "none"), *SEARCH, "--out", str(out)],
        "expected train_test_split.json": ["search", "--data", str(tmp_path / "empty"), *SEARCH, "--out", str(out)],
        "is at or above the supernet": search(data_folder, out, "--target-macs", "2G"),
        "is below what remains": search(data_folder, out, "--target-macs", "1000"),
        "expected 12000000, 12M": search(data_folder, out, "--target-macs", "lots"),
        "unknown search space 'none'": search(data_folder, out, "--space", "none"),
        "images are 32 pixels wide": search(data_folder, out, "--space", "gazenas_tiny"),
        "epochs: expected more than 0": search(data_folder, out, "--epochs", "0"),
        "already holds a run": search(data_folder, found),
        "--epochs was 5, is 6": search(data_folder, found, "--resume", "--epochs", "6"),
        "expected a folder, found a file": search(data_folder, tmp_path / "file"),
        "cost: expected one of macs": search(data_folder, out, "--cost", "beauty"),
        "regularizer: expected one of proximal": search(data_folder, out, "--regularizer", "high"),
        "--target-params: 10 is below what remains": search(data_folder, out, "--target-params", "10"),
        "--targets: expected no other": search(data_folder, out, "--targets", "40%,30%"),
        "--targets: 4 budgets need as many shrinks": [
            *("search", "--data", data, "--space", str(MICRO), "--targets", "60%,50%,40%,30%", "--epochs", "5"),
            *("--out", str(out)),
        ],
        "--target-macs: expected a budget, or a --lambda": [
            *("search", "--data", data, "--space", str(MICRO), "--out", str(out)),
        ],
        "optimizer: expected one of muon, adamw": search(data_folder, out, "--optimizer", "x"),
        "regularizer: expected l1": search(data_folder, out, "--optimizer", "sgd", "--lambda", "1e-4"),
        "augment: expected one of none": search(data_folder, out, "--augment", "x"),
        "--control: expected a budget": [
            *("search", "--data", data, "--space", str(MICRO), "--control", "random", "--epochs", "1", "--lambda", "1"),
            *("--control-seeds", "1", "--batch-size", "8", "--out", str(tmp_path / "chance")),
        ],
        "expected a table": search(data_folder, out, "--target-ms", "50%", "--latency-table", str(tmp_path / "file")),
        "is not usable here": search(data_folder, out, "--device", "quantum"),
        "a.json: no such file": [
            "finetune",
            "--arch",
            str(tmp_path / "a.json"),
            "--data",
            data,
            "--out",
            str(out),
        ],
        "unknown subnet 'famous'": ["finetune", "--arch", "famous", "--data", data, "--out", str(out)],
        "no such weights file": ["finetune", "--arch", str(found), "--weights", "w", "--data", data, "--out", str(out)],
        "schedule: expected one of": [
            "finetune",
            "--arch",
            str(found),
            "--data",
            data,
            "--schedule",
            "x",
            "--out",
            str(out),
        ],
        "no such run folder": ["evaluate", "--model", "nothing", "--data", data, "--out", str(out)],
        "has no final split": [
            "evaluate",
            "--model",
            str(found),
            "--data",
            data,
            "--split",
            "final",
            "--out",
            str(out),
        ],
        "expected FILE.onnx": ["export", "--model", str(found), "--out", str(tmp_path / "x.bin")],
        "at least 3": ["synth", str(tmp_path / "s"), "--subjects", "2"],
        "already holds data": ["synth", data, "--subjects", "3"],
        "holds other things": ["synth", str(found), "--subjects", "3"],
        "unknown action 'fix'": ["data", "fix"],
        "unknown verb 'seach'": ["seach"],
    }
    before = (found / "summary.json").read_bytes()
    for message, arguments in cases.items():
        assert message in run_bad(arguments, capsys), arguments
    assert (found / "summary.json").read_bytes() == before
    assert build_subnet(found) is not None


LISTS = {"data": ("show", "check", "prepare", "normalize"), "protocol": tuple(PROTOCOLS)}


@pytest.mark.parametrize(
    "verb", [*(v for v in VERBS if v not in LISTS), *(f"{v} {w}" for v in LISTS for w in LISTS[v])]
)
def test_help_shows_defaults(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*verb.split(), "--help"])
    said = capsys.readouterr().out
    assert f"usage: gazenas {verb}" in said
    assert "default: " in said


@pytest.mark.parametrize("verb", LISTS)
def test_help_lists_what_a_verb_can_do(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in LISTS[verb])
