"""The trainer by itself: it goes through the task that it is given, and checks what it needs before it trains."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gazenas.data.readers import open_data
from gazenas.errors import InputError
from gazenas.models.build import build_network
from gazenas.models.network import Network
from gazenas.models.zoo import load_model
from gazenas.search.recipe import SearchRecipe
from gazenas.search.searching import Search
from gazenas.search.targets import Targets
from gazenas.space.search_space import SearchSpace
from gazenas.tasks import TASKS
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import ReferencePredictor
from gazenas.training.conclusion import conclude
from gazenas.training.finetuning import FinetuneRecipe, Finetuning
from gazenas.training.job import Job
from gazenas.training.run_folder import RunFolder
from tests.running import thinned


class Silent:
    """A progress display that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.losses: list[Mapping[str, float]] = []

    def epoch(self, number: int, total: int, steps: int) -> None:
        pass

    def step(self, values: Mapping[str, float]) -> None:
        self.losses.append(values)

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def small(micro_space: SearchSpace) -> Network:
    torch.manual_seed(0)
    return build_network(thinned(micro_space, 0.3), importance=False)


def test_a_task_decides_loss_error_and_references(
    small: Network, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = replace(
        GAZE,
        name="square",
        loss=lambda prediction, true: (prediction - true).square().mean(),
        error=lambda prediction, true: 0 * prediction[:, 0] + 7,
        references={"answer": ReferencePredictor("answer", lambda train, test: 42.0)},
    )
    monkeypatch.setitem(TASKS, "square", task)
    small = build_network(replace(small.architecture(), task="square"), importance=False)
    progress = Silent()
    with RunFolder(tmp_path / "run", "finetune") as run:
        job = Job(open_data(data_folder), run, 0, "cpu", 0, progress)
        tuning = Finetuning(FinetuneRecipe(epochs=2, batch_size=16), small, job)
        batch = next(tuning.loader.epoch(0))
        first = float((small.train()(batch.images) - batch.labels).square().mean().detach())
        network = tuning.run()
        summary = conclude(tuning, "finetune", network, {"control": "none"}).summary
    assert progress.losses[0] == {"square": pytest.approx(first, rel=1e-3)}
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    steps = len(tuning.loader)
    assert [float(row["square_loss"]) for row in rows] == [
        pytest.approx(sum(values["square"] for values in progress.losses[begin : begin + steps]) / steps)
        for begin in (0, steps)
    ]
    assert progress.said[0].startswith("epoch 1/2: square loss ")
    assert summary == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["val_error_deg"] == summary["test_error_deg"] == 7.0
    assert summary["answer_deg"] == 42.0
    assert (summary["best_epoch"], summary["epochs"], summary["control"]) == (1, 2, "none")
    assert torch.equal(load_model(tmp_path / "run")(batch.images), network(batch.images))


def test_what_is_missing_is_said_before_training(
    small: Network, micro_space: SearchSpace, data_folder: Path, tmp_path: Path
) -> None:
    folder = open_data(data_folder)
    del folder.splits["val"]
    with RunFolder(tmp_path / "run", "search") as run:
        job = Job(folder, run, 0, "cpu", 0, Silent())
        with pytest.raises(InputError, match="schedule: expected another where nobody is held out"):
            Search(SearchRecipe(schedule="plateau"), micro_space, Targets({"macs": "50%"}), job)
        with pytest.raises(InputError, match="keep: expected last where nobody is held out"):
            Finetuning(FinetuneRecipe(), small, job)
        tuning = Finetuning(FinetuneRecipe(epochs=1, batch_size=16, keep="last"), small, job)
        tuning.run()
        assert tuning.clock.rows[0]["val_error_deg"] == ""
