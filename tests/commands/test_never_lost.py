"""Nothing is lost: kills at any moment, signals, damaged checkpoints, numbers that are not finite."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gazenas.__main__ import main
from tests.commands.test_verbs import TUNE, assert_same_run, run_bad, search
from tests.conftest import MICRO

# Runs a verb and kills itself at the COUNT-th time that it comes to POINT.
KILLER = """
import os, signal, sys
point, count = sys.argv[1], int(sys.argv[2])
import gazenas.search.job
shrink = sys.modules["gazenas.search.shrink"]  # the package's attribute is the function
seen = [0]
def come():
    seen[0] += 1
    if seen[0] == count:
        os.kill(os.getpid(), signal.SIGKILL)
if point == "shrink":
    apply = shrink._apply
    shrink._apply = lambda *words: (come(), apply(*words))[1]
else:
    replace = os.replace
    os.replace = lambda source, to: (come() if str(to).endswith(point) else None, replace(source, to))[1]
from gazenas.__main__ import main
sys.exit(main(sys.argv[3:]))
"""


@pytest.fixture(scope="module")
def whole(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run, to compare with."""
    out = tmp_path_factory.mktemp("whole") / "search"
    assert main(search(data_folder, out)) == 0
    return out


def begin(arguments: list[str], *killer: str) -> subprocess.Popen[str]:
    command = ["-c", KILLER, *killer] if killer else ["-m", "gazenas"]
    return subprocess.Popen(
        [sys.executable, *command, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # as it is now: a test may have changed it
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(out: Path, text: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if (out / "log.txt").exists() and text in (out / "log.txt").read_text():
            return
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("point", "count"),
    [("shrink", "1"), ("shrink", "2"), ("new-last.pt", "3"), ("previous.pt", "2"), ("last.pt", "9")],
)
def test_killed_inside_a_shrink_or_a_checkpoint(
    whole: Path, data_folder: Path, tmp_path: Path, point: str, count: str
) -> None:
    """Before a shrink, between its network and its average, and at every step of writing a checkpoint."""
    out = tmp_path / "killed"
    process = begin(search(data_folder, out, "--save-minutes", "0"), point, count)
    process.wait(120)
    assert process.returncode == -signal.SIGKILL
    assert main(search(data_folder, out, "--resume")) == 0
    assert_same_run(whole, out)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_a_random_moment(whole: Path, data_folder: Path, tmp_path: Path, seed: int) -> None:
    out = tmp_path / "killed"
    process = begin(search(data_folder, out, "--save-minutes", "0.003"))
    wait_for(out, "epoch" if seed % 2 else "starting", process)
    time.sleep(random.Random(seed).uniform(0, 1.5))
    process.kill()
    process.wait()
    assert main(search(data_folder, out, "--resume")) == 0
    assert_same_run(whole, out)


def test_killed_again_and_again(whole: Path, data_folder: Path, tmp_path: Path) -> None:
    """One run, killed within four different epochs and resumed each time."""
    out = tmp_path / "killed"
    for kill in range(4):
        process = begin(search(data_folder, out, "--resume", "--save-minutes", "0"), "new-last.pt", str(5 + kill))
        process.wait(120)
        assert process.returncode == -signal.SIGKILL
    assert main(search(data_folder, out, "--resume")) == 0
    assert_same_run(whole, out)
    assert "resumed in epoch 2, step" in (out / "log.txt").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(
    whole: Path, data_folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "stopped"
    process = begin(search(data_folder, out))
    wait_for(out, "epoch 1/5", process)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert said.startswith("gazenas: stopped by a signal at epoch")
    assert "--resume goes on" in said
    assert not (out / "summary.json").exists()
    assert main(search(data_folder, out, "--resume")) == 0
    assert_same_run(whole, out)


def test_finetune_stops_and_goes_on_within_an_epoch(whole: Path, data_folder: Path, tmp_path: Path) -> None:
    words = ["finetune", "--arch", str(whole), "--data", str(data_folder), *TUNE]
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    process = begin([*words, "--out", str(tmp_path / "killed"), "--save-minutes", "0"], "new-last.pt", "6")
    process.wait(120)
    assert process.returncode == -signal.SIGKILL
    assert main([*words, "--out", str(tmp_path / "killed"), "--resume"]) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_a_damaged_newest_checkpoint_falls_back_and_says_so(
    whole: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "damaged"
    process = begin(search(data_folder, out, "--save-minutes", "0"), "new-last.pt", "14")
    process.wait(120)
    last = out / "checkpoint" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    assert main(search(data_folder, out, "--resume")) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "last.pt cannot be read" in said
    assert "going on from" in said
    assert_same_run(whole, out)


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
    whole: Path, data_folder: Path, published_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--data was" in run_bad(search(published_folder, whole, "--resume"), capsys)
    (tmp_path / "other.yaml").write_text(MICRO.read_text().replace("expansion: 2", "expansion: 1"))
    other = ["--resume", "--space", str(tmp_path / "other.yaml")]
    assert "--space was" in run_bad(search(data_folder, whole, *other), capsys)
    assert json.loads((whole / "summary.json").read_text())["control"] == "found"
