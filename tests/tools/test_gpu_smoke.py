"""``tools/bench/gpu_smoke.py``: says where there is no GPU, and does all of its work on the CPU."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.running import MICRO
from tests.tools.loading import call_tool

TOOL = "bench/gpu_smoke.py"


def test_without_a_gpu_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert call_tool(TOOL, monkeypatch, "--out", tmp_path / "out") == 2
    assert "finds no GPU here" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_everything_on_a_few_faces(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both kinds of arithmetic on the CPU; its answers are the CPU's own, and the table says what the files say."""
    shutil.copytree(data_folder, tmp_path / "data")
    tiny = ("--space", MICRO, "--epochs", 3, "--batch-size", 8, "--threads", 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    status = call_tool(TOOL, monkeypatch, "--device", "cpu", "--out", tmp_path, *tiny)
    said = capsys.readouterr()
    assert status == 0, said
    values = json.loads((tmp_path / "gpu_smoke.json").read_text())
    assert [(way["device"], way["amp"]) for way in values["ways"]] == [("cpu", "none"), ("cpu", "bf16")]
    assert not values["faults"]
    for way in values["ways"]:
        assert way["stopped"]
        assert way["resumed_same"]
        assert way["most_apart_from_cpu_deg"] == 0
        assert way["macs"] <= way["target_macs"] < way["supernet_macs"]
        line = next(line for line in said.out.splitlines() if f"{way['macs']:,}" in line)
        assert f"{way['test_error_deg']:.2f}" in line
