"""``make demo``: its table out of files of known numbers, and all of it on a few faces."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

import gazenas
from tests.running import MICRO, MICRO_CHAIN

TOOL = Path(gazenas.__file__).parents[1] / "tools" / "demo.py"
QUICK = ("--epochs", 2, "--batch-size", 8, "--threads", 1)


@pytest.fixture
def demo() -> Iterator[ModuleType]:
    """The program as a module."""
    spec = importlib.util.spec_from_file_location("demo", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look annotations up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def shown(text: str, title: str) -> list[str]:
    """The cells of the table's line that begins with a title."""
    (line,) = (line for line in text.splitlines() if title in line)
    return [cell.strip() for cell in line.split("\u2502")[2:-1]]


def write(folder: Path, **values: object) -> None:
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(values))


def test_the_table_says_what_the_verbs_wrote(
    demo: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, row in enumerate(demo.ROWS):
        write(tmp_path / row.name, seconds=100.4 + number, macs=1, test_error_deg=99.0)
        write(
            tmp_path / f"{row.name}-test",
            test_error_deg=7.0 + number,
            macs=9_000_000 - 100_000 * number,
            params=300_000 + number,
            mean_predictor_error_deg=41.0,
            head_pose_error_deg=21.5,
            errors={"interval_95_deg": [6.25 + number, 7.75 + number], "people": {"one": 7.0, "two": 7.0}},
        )
        (tmp_path / f"{row.name}.onnx").write_bytes(bytes(1000 + number))
    timed = {f"{row.name}.onnx": {"median": 0.25 + number, "p95": 50.0} for number, row in enumerate(demo.ROWS)}
    write(tmp_path / "benchmark", ms={"one thread": timed, "all threads": {}})
    demo.conclude(tmp_path, demo.ROWS, 90.0)
    text = capsys.readouterr().out
    assert "on 2 rendered people" in text
    assert [row.passes() for row in demo.ROWS] == [8, 12, 12]
    for number, row in enumerate(demo.ROWS):
        assert shown(text, row.title) == [
            f"{7 + number}.00\u00b0 ({6 + number}.25\u00b0 to {7 + number}.75\u00b0)",
            ("9.00", "8.90", "8.80")[number],
            f"300,00{number}",
            f"{number}.25",
            f"1,00{number}",
            str(row.passes()),
            str(100 + number),
        ]
    assert shown(text, "training mean") == ["41.00\u00b0"]
    assert shown(text, "head pose") == ["21.50\u00b0"]
    assert shown(text, "minutes") == ["1.5 minutes"]


def mean_angle(folder: Path) -> float:
    """Degrees between two directions, from the file of predictions."""
    with (folder / "predictions_test.csv").open() as file:
        rows = [[float(row[key]) for key in ("pitch", "yaw", "true_pitch", "true_yaw")] for row in csv.DictReader(file)]
    pitch, yaw, true_pitch, true_yaw = np.array(rows).T
    cosine = np.sin(pitch) * np.sin(true_pitch) + np.cos(pitch) * np.cos(true_pitch) * np.cos(yaw - true_yaw)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


@pytest.mark.slow
def test_the_whole_demo_on_a_few_faces(
    demo: ModuleType, data_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error is that of predictions.csv, sizes are those of the files, and faces that are there are not rendered
    again."""
    shutil.copytree(data_folder, tmp_path / "data")
    rows = [
        demo.Row("paper", "many paths", ("search", "--space", MICRO, "--target-macs", "30%", *QUICK)),
        demo.Row("fast", "a chain", ("search", "--space", MICRO_CHAIN, "--target-macs", "30%", *QUICK)),
        demo.Row("handmade", "by hand", ("finetune", "--arch", "handmade-9m", "--input-size", 32, *QUICK)),
    ]
    demo.run(tmp_path, rows)
    text = capfd.readouterr().out
    assert "$ gazenas synth" not in text
    last = text[text.rindex("what the demo measured") :]
    for row in rows:
        error, _, parameters, _, size, passes, _ = shown(last, row.title)
        assert float(error.split("\u00b0")[0]) == pytest.approx(mean_angle(tmp_path / f"{row.name}-test"), abs=0.01)
        assert int(size.replace(",", "")) == (tmp_path / f"{row.name}.onnx").stat().st_size
        onnx.checker.check_model(str(tmp_path / f"{row.name}.onnx"))
        assert int(parameters.replace(",", "")) == sum(
            weight.numel() for weight in gazenas.load_model(tmp_path / row.name).parameters()
        )
        assert passes == "2"
    assert (tmp_path / "faces.png").stat().st_size
