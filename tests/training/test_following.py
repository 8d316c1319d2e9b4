"""How a run can be followed: validation loss beside training loss, a line of JSON an epoch, TensorBoard's curves."""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tensorboardX.proto.event_pb2 import Event

from gazenas.__main__ import main
from gazenas.data.readers import open_data
from gazenas.errors import InputError
from gazenas.models.build import build_network
from gazenas.models.zoo import load_model
from gazenas.space.search_space import SearchSpace
from gazenas.training.finetuning import FinetuneRecipe, Finetuning
from gazenas.training.job import Job
from gazenas.training.json_log import JsonLog, check_json_log
from gazenas.training.loop import predict_faces
from gazenas.training.run_folder import RunFolder
from tests.running import TUNE, run_bad, thinned


class Silent:
    """A progress display that shows nothing."""

    def epoch(self, number: int, total: int, steps: int) -> None:
        pass

    def step(self, values: Mapping[str, float]) -> None:
        pass

    def say(self, text: str) -> None:
        pass


def tune(found: Path, data: Path, out: Path, *more: str) -> list[str]:
    words = ["finetune", "--arch", str(found / "arch.json"), "--data", str(data), *TUNE, "--keep", "last"]
    return [*words, "--out", str(out), *more]


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    """What event files hold, by TensorFlow's record format: length, its checksum, an event, its checksum."""
    found: dict[tuple[str, int], float] = {}
    for data in records(folder):
        event = Event.FromString(data)
        for value in event.summary.value:
            assert (value.tag, event.step) not in found
            found[value.tag, event.step] = value.simple_value
    return found


def records(folder: Path) -> Iterator[bytes]:
    (path,) = folder.iterdir()
    content = path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield content[12 : 12 + length]
        content = content[16 + length :]


def test_a_run_is_told_once_whatever_happens_to_it(found: Path, data_folder: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "run", tmp_path / "log.jsonl"
    words = tune(found, data_folder, out, "--tensorboard", "--log-json", str(log))
    assert main(words) == 0
    rows, lines = rows_of(out), lines_of(log)

    # In one unit and of one size: mean absolute difference of both angles, in radians.
    val = open_data(data_folder).split("val")
    assert val.gaze is not None
    answers = predict_faces(load_model(out), val.faces(np.arange(len(val))))
    assert float(rows[-1]["gaze_val_loss"]) == pytest.approx(np.abs(answers - val.gaze).mean(), rel=1e-4)
    assert list(rows[0])[:3] == ["epoch", "gaze_loss", "gaze_val_loss"]
    assert f" rad (validation {float(rows[-1]['gaze_val_loss']):.4f})" in (out / "log.txt").read_text()

    assert {line["event"] for line in lines} == {"begin", "note", "epoch", "end"}
    assert lines[0]["verb"] == "finetune"
    assert not lines[0]["resumed"]
    assert lines[-1]["summary"] == json.loads((out / "summary.json").read_text())
    assert {line["run"] for line in lines} == {str(out)}
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert [{key: str(line[key]) for key in rows[0]} for line in epochs] == rows

    curves = scalars(out / "tensorboard")
    for number, row in enumerate(rows, 1):
        assert curves["loss/training", number] == pytest.approx(float(row["gaze_loss"]))
        assert curves["loss/validation", number] == pytest.approx(float(row["gaze_val_loss"]))
        assert curves["error/val_error_deg", number] == pytest.approx(float(row["val_error_deg"]))
        assert curves["run/lr", number] == pytest.approx(float(row["lr"]))

    # As if it had been killed while it wrote its second epoch.
    kept = log.read_text().splitlines(keepends=True)[: lines.index(epochs[1])]
    log.write_text("".join(kept) + '{"event": "ep')
    assert main([*words, "--resume"]) == 0
    again = lines_of(log)
    assert [line["epoch"] for line in again if line["event"] == "epoch"] == [0, 1, 2]
    assert [line["resumed"] for line in again if line["event"] == "begin"] == [False, True]
    assert scalars(out / "tensorboard") == curves


def test_events_alone_on_standard_output(
    found: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tune(found, data_folder, tmp_path / "run", "--epochs", "1", "--log-json", "-")) == 0
    said = capsys.readouterr()
    events = [json.loads(line)["event"] for line in said.out.splitlines()]
    assert (events[0], events[-1]) == ("begin", "end")
    assert "test error" in said.err
    assert main(["ls", "--tasks"]) == 0
    assert "head_pose" in capsys.readouterr().out  # everything as before


def test_nothing_is_lost(found: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("what somebody keeps\n")
    words = tune(found, data_folder, tmp_path / "run", "--log-json", str(log))
    assert "log.jsonl is there already: expected another file, or --resume" in run_bad(words, capsys)
    assert "expected one JSON object a line" in run_bad([*words, "--resume"], capsys)
    # A run that is refused has replaced nothing.
    assert "epochs: expected more than 0" in run_bad([*words, "--overwrite", "--epochs", "0"], capsys)
    assert log.read_text() == "what somebody keeps\n"
    with pytest.raises(InputError, match="expected a file in an existing folder"):
        check_json_log(str(tmp_path / "none" / "log"), goes_on=True)


def test_an_end_before_the_end_and_numbers_that_json_lacks(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with pytest.raises(KeyError), JsonLog(str(log), tmp_path / "run", "search", resumed=False) as events:
        events.epochs([{"epoch": 0, "loss": float("nan"), "error": "", "macs": 3}])
        raise KeyError("gone")
    begin, epoch, stopped = lines_of(log)
    assert (epoch["loss"], epoch["error"], epoch["macs"]) == (None, None, 3)
    assert (begin["event"], stopped["text"]) == ("begin", "KeyError: 'gone'")


def test_losses_that_have_no_counterpart_or_another_size(
    micro_space: SearchSpace, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comparator's own loss, such as a cross-entropy, is another quantity; beside a teacher's a part of it counts."""
    torch.manual_seed(0)
    small = build_network(thinned(micro_space, 0.3), importance=False)
    with RunFolder(tmp_path / "run", "finetune") as run:
        job = Job(open_data(data_folder), run, 0, "cpu", 0, Silent())
        tuning = Finetuning(FinetuneRecipe(epochs=1, batch_size=16), small, job)
        tuning.validate()
        assert tuning.loss_entries({"gaze": 0.25}) == {"gaze_loss": 0.25, "gaze_val_loss": tuning.val_loss}
        monkeypatch.setattr(tuning, "teacher", SimpleNamespace(weight=0.75))
        assert tuning.loss_entries({"gaze": 0.25})["gaze_loss"] == pytest.approx(1.0)
        monkeypatch.setattr(tuning, "teacher", SimpleNamespace(weight=1.0))
        assert tuning.loss_entries({"gaze": 0.0})["gaze_loss"] == ""
        assert tuning.loss_story({"gaze": 0.0}).startswith("the teacher's answers alone (validation ")
        monkeypatch.setattr(tuning, "teacher", None)
        monkeypatch.setattr(
            tuning, "own_objective", lambda: lambda output, images, gaze: {"gaze": output.square().mean()}
        )
        tuning.val_loss = float("nan")
        tuning.run()
    assert rows_of(tmp_path / "run")[0]["gaze_val_loss"] == ""
