"""Engine, weight average, checkpoints, run folders, evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gazenas.data.loader import Batch
from gazenas.data.readers import open_data
from gazenas.errors import InputError
from gazenas.evaluation.errors import evaluate_predictions
from gazenas.gaze import angular_error
from gazenas.models.network import Network
from gazenas.tasks.gaze import head_pose_error, mean_predictor_error
from gazenas.training.averaging import WeightAverage
from gazenas.training.checkpoint import load_checkpoint, save_checkpoint
from gazenas.training.loop import NonFiniteLossError, predict, train_epoch
from gazenas.training.run_folder import RunFolder
from gazenas.training.trainer import Clock, Straggler


def batch(value: float = 0.0) -> Batch:
    return Batch(torch.full((4, 3, 32, 32), value), torch.zeros(4, 2), np.arange(4))


def test_a_non_finite_loss_stops_before_the_weights_change(micro_net: Network) -> None:
    before = [parameter.detach().clone() for parameter in micro_net.parameters()]
    optimizer = torch.optim.SGD(micro_net.parameters(), 1.0)
    with pytest.raises(NonFiniteLossError, match=r"'gaze': nan.*rows of the batch: \[0, 1, 2, 3\]"):
        train_epoch(micro_net, [batch(float("nan"))], optimizer)
    assert all(torch.equal(a, b) for a, b in zip(before, micro_net.parameters(), strict=True))


def test_losses_are_added_and_averaged(micro_net: Network) -> None:
    optimizer = torch.optim.SGD(micro_net.parameters(), 0.0)
    steps: list[dict[str, float]] = []
    means = train_epoch(
        micro_net,
        [batch(), batch(1.0)],
        optimizer,
        extra_losses=lambda: {"penalty": torch.tensor(2.0)},
        on_step=steps.append,
    )
    assert means["penalty"] == 2.0
    assert means["gaze"] == pytest.approx(np.mean([values["gaze"] for values in steps]))


def test_predict_is_in_eval_mode_and_restores_it(micro_net: Network) -> None:
    micro_net.train()
    found = predict(micro_net, [batch(), batch(1.0)])
    assert micro_net.training
    with torch.no_grad():
        expected = micro_net.eval()(torch.cat([batch().images, batch(1.0).images]))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_average_follows_its_formula_and_copies_importances(micro_net: Network) -> None:
    average = WeightAverage(micro_net, limit=0.5)
    weight = micro_net.stem[0].weight  # type: ignore[index]
    expected = weight.detach().clone()
    for step in range(8):
        with torch.no_grad():
            weight.add_(1.0)
            micro_net.importances()[0].fill_(step)
        average.update(micro_net)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach()
    torch.testing.assert_close(average.module.stem[0].weight, expected)  # type: ignore[index, union-attr]
    assert torch.equal(average.module.importances()[0], micro_net.importances()[0])  # type: ignore[operator]


def test_a_sudden_slowness_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("gazenas.training.trainer.time.monotonic", lambda: now[0])
    straggler, said = Straggler(), []
    for seconds in [0.2] * 25 + [0.5, 3.0, 0.2, 9.0]:
        now[0] += seconds
        said.append(straggler.step())
    assert [index for index, text in enumerate(said) if text] == [26]
    assert "a step took 3.0 s, usually 0.20 s" in said[26]


def test_a_clock_that_goes_on_counts_what_was_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("gazenas.training.trainer.time.monotonic", lambda: now[0])
    clock = Clock(started=100.0)
    now[0] = 110.0
    clock.begin_epoch()
    clock.meter.steps = 4
    now[0] = 117.0
    state = clock.state()
    now[0] = 3.0  # another process, on a machine started since
    clock = Clock.from_state(state)
    now[0] = 5.0
    clock.begin_epoch()
    assert (now[0] - clock.started, now[0] - clock.begun) == (19.0, 9.0)
    clock.end_epoch({})
    now[0] = 6.0
    clock.begin_epoch()
    assert (now[0] - clock.started, now[0] - clock.begun) == (20.0, 0.0)


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 1}, tmp_path / "last.pt")
    with pytest.raises(InputError, match=r"last\.pt: format: expected 3, found None: end this run with"):
        load_checkpoint(tmp_path)


def test_checkpoints_survive_damage(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path)[0] is None
    for number in range(3):
        save_checkpoint(tmp_path, {"epoch": number, "tensor": torch.ones(2) * number})
    assert load_checkpoint(tmp_path)[0]["epoch"] == 2  # type: ignore[index]
    (tmp_path / "last.pt").write_bytes(b"half of a checkp")
    state, story = load_checkpoint(tmp_path)
    assert state is not None
    assert state["epoch"] == 1
    assert "last.pt cannot be read" in story
    (tmp_path / "previous.pt").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(tmp_path)


def test_loading_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    torch.save({"epoch": Evil()}, tmp_path / "last.pt")
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_run_folder_refuses_what_it_would_harm(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no run"):
        RunFolder(tmp_path / "notes", "search", overwrite=True)
    assert (tmp_path / "notes" / "thesis.txt").read_text() == "mine"
    with RunFolder(tmp_path / "run", "search") as run:
        run.resolve_config({"epochs": 3, "out": "a"})
        with pytest.raises(InputError, match="another process"), RunFolder(tmp_path / "run", "search", resume=True):
            pass
    with pytest.raises(InputError, match="--resume goes on with it, --overwrite"):
        RunFolder(tmp_path / "run", "search")
    with RunFolder(tmp_path / "run", "search", resume=True) as run:
        with pytest.raises(InputError, match="--epochs was 3, is 4"):
            run.resolve_config({"epochs": 4, "out": "b"})
        assert run.resolve_config({"epochs": 3, "out": "b"})["out"] == "a"
    with pytest.raises(InputError, match="holds a run of 'search', not of 'finetune'"):
        RunFolder(tmp_path / "run", "finetune", overwrite=True)


def test_overwriting_waits_until_all_is_well(tmp_path: Path) -> None:
    with RunFolder(tmp_path, "search") as run:
        run.resolve_config({"epochs": 3})
        run.write_summary({"old": True})
    with RunFolder(tmp_path, "search", overwrite=True) as run:
        assert (tmp_path / "summary.json").exists()
        run.resolve_config({"epochs": 4})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["config.yaml", "log.txt"]


def test_errors_and_references(data_folder: Path) -> None:
    folder = open_data(data_folder)
    train, test = folder.split("train"), folder.split("test")
    assert test.gaze is not None
    predictions = test.gaze + np.array([0.1, -0.2], np.float32)
    result = evaluate_predictions(predictions, test)
    errors = angular_error(predictions, test.gaze)
    assert result.mean == pytest.approx(errors.mean())
    assert result.p95 == pytest.approx(np.percentile(errors, 95))
    assert result.mae_pitch == pytest.approx(np.rad2deg(0.1), rel=1e-4)
    assert result.mae_yaw == pytest.approx(np.rad2deg(0.2), rel=1e-4)
    assert result.interval[0] <= result.mean <= result.interval[1]
    assert {name: count for name, (_, count) in result.people.items()} == {"subject0004": 16}
    mean, pose = (
        mean_predictor_error(train.gaze, test.gaze),
        head_pose_error(train.gaze, train.head_pose, test.gaze, test.head_pose),
    )
    assert mean is not None
    assert pose is not None
    assert 5 < pose < mean < 90
    test.gaze = None
    assert mean_predictor_error(train.gaze, test.gaze) is None
