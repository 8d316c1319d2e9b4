"""Nothing is lost: kills at any moment, signals, damaged checkpoints, numbers that are not finite."""

from __future__ import annotations

import csv
import json
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from gazenas.__main__ import main
from tests.running import MICRO, MICRO_CHAIN, TUNE, assert_same_run, begin, run_bad, search, wait_for


@pytest.mark.parametrize(
    ("point", "count"),
    [
        ("shrink", "2"),
        pytest.param("new-last.pt", "3", marks=pytest.mark.slow),
        ("metrics.csv", "5"),
        pytest.param("arch.json", "1", marks=pytest.mark.slow),
        pytest.param("summary.json", "1", marks=pytest.mark.slow),
        pytest.param("previous.pt", "2", marks=pytest.mark.slow),
        pytest.param("shrink", "1", marks=pytest.mark.slow),
        pytest.param("last.pt", "9", marks=pytest.mark.slow),
    ],
)
def test_killed_inside_a_shrink_or_before_a_file(
    found: Path, data_folder: Path, tmp_path: Path, point: str, count: str
) -> None:
    """Before a shrink, between its network and its average, at every step of writing a checkpoint, and before a file
    of the end."""
    out = tmp_path / "killed"
    process = begin(search(data_folder, out, "--save-minutes", "0"), point, count)
    process.wait(600)
    assert process.returncode == -signal.SIGKILL
    assert main(search(data_folder, out, "--resume")) == 0
    assert_same_run(found, out)


@pytest.mark.slow
@pytest.mark.parametrize(("point", "count"), [("new-last.pt", "4"), ("new-last.pt", "9"), ("shrink", "2")])
def test_killed_by_the_default_recipe_over_streams(data_folder: Path, tmp_path: Path, point: str, count: str) -> None:
    """Shrinks within epochs, floors and a supernet thinned at the start are the same when a run goes on."""
    words = ["search", "--data", str(data_folder), "--space", str(MICRO_CHAIN), "--target-macs", "40%", "--epochs", "8"]
    words += ["--batch-size", "8", "--threads", "1", "--save-minutes", "0", "--out"]
    assert main([*words, str(tmp_path / "whole")]) == 0
    process = begin([*words, str(tmp_path / "killed")], point, count)
    process.wait(600)
    assert process.returncode == -signal.SIGKILL
    assert main([*words, str(tmp_path / "killed"), "--resume"]) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_a_random_moment(found: Path, data_folder: Path, tmp_path: Path, seed: int) -> None:
    out = tmp_path / "killed"
    process = begin(search(data_folder, out, "--save-minutes", "0.003"))
    wait_for(out, "epoch" if seed % 2 else "starting", process)
    time.sleep(random.Random(seed).uniform(0, 1.5))
    process.kill()
    process.wait()
    assert main(search(data_folder, out, "--resume")) == 0
    assert_same_run(found, out)


@pytest.mark.slow
def test_killed_again_and_again(found: Path, data_folder: Path, tmp_path: Path) -> None:
    """One run, killed within different epochs and resumed each time."""
    out = tmp_path / "killed"
    for kill in range(2):
        process = begin(search(data_folder, out, "--resume", "--save-minutes", "0"), "new-last.pt", str(5 + kill))
        process.wait(600)
        assert process.returncode == -signal.SIGKILL
    assert main(search(data_folder, out, "--resume")) == 0
    assert_same_run(found, out)
    assert "resumed in epoch 2, step" in (out / "log.txt").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(
    found: Path, data_folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "stopped"
    process = begin(search(data_folder, out))
    wait_for(out, "epoch 1/5", process)
    process.send_signal(number)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 128 + number
    assert said.startswith("gazenas: stopped by a signal at epoch")
    assert "--resume goes on" in said
    assert not (out / "summary.json").exists()
    assert main(search(data_folder, out, "--resume")) == 0
    assert_same_run(found, out)


def test_finetune_stops_and_goes_on_within_an_epoch(found: Path, data_folder: Path, tmp_path: Path) -> None:
    words = ["finetune", "--arch", str(found), "--data", str(data_folder), *TUNE]
    assert main([*words, "--out", str(tmp_path / "found")]) == 0
    process = begin([*words, "--out", str(tmp_path / "killed"), "--save-minutes", "0"], "new-last.pt", "6")
    process.wait(600)
    assert process.returncode == -signal.SIGKILL
    assert main([*words, "--out", str(tmp_path / "killed"), "--resume"]) == 0
    assert_same_run(tmp_path / "found", tmp_path / "killed")
    spent = json.loads((tmp_path / "killed" / "summary.json").read_text())["seconds"]
    with (tmp_path / "killed" / "metrics.csv").open() as file:
        rows = [float(row["seconds"]) for row in csv.DictReader(file)]
    assert spent > 0.99 * sum(rows) > 0  # of both processes


@pytest.mark.parametrize(
    ("point", "count"),
    [
        ("metrics.csv", "3"),
        pytest.param("arch.json", "1", marks=pytest.mark.slow),
        pytest.param("weights.safetensors", "1", marks=pytest.mark.slow),
        ("predictions_test.csv", "1"),
        ("summary.json", "1"),
    ],
)
def test_a_finetuning_killed_before_any_file_of_its_end(
    found: Path, tuned: Path, data_folder: Path, tmp_path: Path, point: str, count: str
) -> None:
    """The last epoch is in its checkpoint: going on trains nothing and writes everything."""
    out = tmp_path / "killed"
    weights = ["--arch", str(found / "arch.json"), "--weights", str(found / "weights.safetensors")]
    words = ["finetune", *weights, "--data", str(data_folder), *TUNE, "--out", str(out)]
    process = begin(words, point, count)
    process.wait(600)
    assert process.returncode == -signal.SIGKILL
    assert main([*words, "--resume"]) == 0
    assert_same_run(tuned, out)
    assert "resumed in epoch 4" in (out / "log.txt").read_text()
    expected, summary = (json.loads((run / "summary.json").read_text()) for run in (tuned, out))
    assert {key: expected[key] for key in expected if key != "seconds"} == {
        key: summary[key] for key in summary if key != "seconds"
    }
    assert (out / "predictions_test.csv").read_bytes() == (tuned / "predictions_test.csv").read_bytes()


def test_a_run_goes_on_with_another_torch_and_says_so(
    found: Path, tuned: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(tuned, out)
    config = (out / "config.yaml").read_text()
    assert config.count(torch.__version__) == 1
    (out / "config.yaml").write_text(config.replace(torch.__version__, "2.6.0"))
    weights = ["--arch", str(found / "arch.json"), "--weights", str(found / "weights.safetensors")]
    assert main(["finetune", *weights, "--data", str(data_folder), *TUNE, "--out", str(out), "--resume"]) == 0
    assert "torch was '2.6.0' when the run began" in " ".join(capsys.readouterr().out.split())
    assert_same_run(tuned, out)


def test_a_damaged_newest_checkpoint_falls_back_and_says_so(
    found: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "damaged"
    process = begin(search(data_folder, out, "--save-minutes", "0"), "new-last.pt", "14")
    process.wait(600)
    last = out / "checkpoint" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    assert main(search(data_folder, out, "--resume")) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "last.pt cannot be read" in said
    assert "going on from" in said
    assert_same_run(found, out)


def test_numbers_that_are_not_finite_stop_with_where_and_what(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step size at which the loss explodes: status 2, the loss's parts, the images, the last good checkpoint."""
    out = tmp_path / "exploded"
    said = run_bad(search(data_folder, out, "--lr", "1e30", "--save-minutes", "0"), capsys)
    for part in ("is not finite in epoch 1, step", "loss: gaze", "penalty", ".h5", "last.pt", "--lr"):
        assert part in said, part
    assert not (out / "weights.safetensors").exists()


def test_a_resume_with_other_data_or_space_is_refused(
    found: Path, data_folder: Path, published_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--data was" in run_bad(search(published_folder, found, "--resume"), capsys)
    (tmp_path / "other.yaml").write_text(MICRO.read_text().replace("expansion: 2", "expansion: 1"))
    other = ["--resume", "--space", str(tmp_path / "other.yaml")]
    assert "--space was" in run_bad(search(data_folder, found, *other), capsys)
    assert json.loads((found / "summary.json").read_text())["control"] == "found"
