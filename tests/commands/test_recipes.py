"""Every optimizer and schedule through search and fine-tuning, killed within an epoch and gone on with to the same
bytes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from gazenas.__main__ import main
from tests.running import MICRO, assert_same_run, begin, metrics

PAIRS = [("adamw", "onecycle"), ("adam", "cosine"), ("rmsprop", "exp"), ("sgd", "plateau"), ("adamw", "steps")]
CHANGED = ["real", "none", "plain", "strong", "real"]


@pytest.mark.parametrize(
    ("optimizer", "schedule", "kind"),
    [pytest.param(*pair, kind, marks=pytest.mark.slow) for pair, kind in zip(PAIRS, CHANGED, strict=True)],
)
def test_killed_and_resumed_by_any_recipe(
    data_folder: Path, found: Path, tmp_path: Path, optimizer: str, schedule: str, kind: str
) -> None:
    recipe = ["--optimizer", optimizer, "--schedule", schedule, "--augment", kind, "--milestones", "[1]"]
    common = ["--data", str(data_folder), "--epochs", "2", "--batch-size", "8", "--threads", "1", *recipe]
    verbs = {
        "search": ["search", "--space", str(MICRO), "--target-macs", "40%", *common],
        "finetune": ["finetune", "--arch", str(found), *common],
    }
    for verb, words in verbs.items():
        whole, killed = tmp_path / verb, tmp_path / f"{verb}-killed"
        assert main([*words, "--out", str(whole)]) == 0
        # The eighth checkpoint lies in the second epoch, after the shrink.
        process = begin([*words, "--out", str(killed), "--save-minutes", "0"], "new-last.pt", "8")
        process.wait(600)
        assert process.returncode == -signal.SIGKILL
        assert main([*words, "--out", str(killed), "--resume"]) == 0
        assert "resumed in epoch 2, step" in (killed / "log.txt").read_text()
        assert_same_run(whole, killed)
        header, *rows = metrics(whole)
        assert (float(rows[0][header.index("lr")]) > float(rows[1][header.index("lr")])) == (schedule != "plateau")
