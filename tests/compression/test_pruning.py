"""``gazenas prune`` as a person runs it: every kind, budgets met, resumed to the same bytes, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gazenas.__main__ import main
from gazenas.compression.channels import CHANNEL_SCORES
from gazenas.compression.pruning import PruneRecipe
from gazenas.compression.weights import prunable_weights
from gazenas.costs.size import file_bytes
from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.models.baselines.handmade import handmade
from gazenas.models.network import Network
from gazenas.models.zoo import load_model
from tests.running import TUNE, Once, assert_same_run, begin, metrics, run_bad

STILL = ("--epochs", "0", "--batch-size", "8", "--threads", "1", "--sensitivity", "2", "--recalibration", "2")
TRAINED = (*TUNE, "--sensitivity", "2", "--recalibration", "2")


@pytest.fixture(scope="module")
def rival(once: Once, data_folder: Path) -> Path:
    """A hand-made network, trained a little."""

    def train(folder: Path) -> None:
        folder.mkdir()
        handmade(input_size=32, channels=[8, 12, 12], hidden=16).architecture().save(folder / "arch.json")
        words = ["finetune", "--arch", str(folder / "arch.json"), "--data", str(data_folder), *TUNE]
        assert main([*words, "--out", str(folder / "run")]) == 0

    return once("rival", train) / "run"


def prune(model: Path, data: Path, out: Path, *words: str) -> list[str]:
    return ["prune", str(model), "--data", str(data), "--out", str(out), *words]


def summary_of(run: Path) -> dict[str, object]:
    values: dict[str, object] = json.loads((run / "summary.json").read_text())
    return values


@pytest.mark.parametrize("importance", CHANNEL_SCORES)
def test_channels_of_a_rival_without_training(rival: Path, data_folder: Path, tmp_path: Path, importance: str) -> None:
    words = ["--kind", "channels", "--target-macs", "50%", "--importance", importance, *STILL]
    assert main(prune(rival, data_folder, tmp_path / "run", *words)) == 0
    summary, network = summary_of(tmp_path / "run"), load_model(tmp_path / "run")
    before = load_model(rival)
    macs = count_macs(network, 32)
    assert 0.9 * 0.5 * count_macs(before, 32) <= macs <= 0.5 * count_macs(before, 32)
    assert (summary["macs"], summary["params"]) == (macs, count_params(network))
    pruned = summary["pruned"]
    assert isinstance(pruned, dict)
    assert pruned["before"]["macs"] == count_macs(before, 32)
    assert pruned["before"]["fingerprint"] == before.architecture().fingerprint()
    assert summary["best_epoch"] == 0
    (people,) = summary["began_with"].values()  # type: ignore[attr-defined]
    assert people


def measured_bytes(run: Path) -> int:
    return file_bytes(load_model(run))


@pytest.mark.parametrize(
    ("word", "measure"),
    [
        ("params", lambda run: count_params(load_model(run))),
        pytest.param("size", measured_bytes, marks=pytest.mark.slow),
    ],
)
def test_other_budgets_of_a_rival(
    rival: Path, data_folder: Path, tmp_path: Path, word: str, measure: Callable[[Path], int]
) -> None:
    words = ["--kind", "channels", f"--target-{word}", "60%", "--importance", "l2", *STILL]
    assert main(prune(rival, data_folder, tmp_path / "run", *words)) == 0
    assert 0.54 * measure(rival) <= measure(tmp_path / "run") <= 0.6 * measure(rival)


def killed_and_resumed(words: list[str], out: Path) -> Path:
    """The folder of a run that was killed within an epoch and gone on with."""
    process = begin([*words, "--out", str(out), "--save-minutes", "0"], "new-last.pt", "9")
    process.wait(600)
    assert main([*words, "--out", str(out), "--resume"]) == 0
    assert "resumed in epoch" in (out / "log.txt").read_text()
    return out


def test_gradual_channels_are_resumed_to_the_same_bytes(rival: Path, data_folder: Path, tmp_path: Path) -> None:
    words = ["--kind", "channels", "--target-macs", "40%", "--rounds", "3", "--prune-until", "1", *TRAINED]
    words += ["--teacher", str(rival)]
    assert main(prune(rival, data_folder, tmp_path / "whole", *words)) == 0
    assert_same_run(
        tmp_path / "whole", killed_and_resumed(prune(rival, data_folder, tmp_path, *words), tmp_path / "killed")
    )
    rows = metrics(tmp_path / "whole")
    left = [int(row[rows[0].index("macs")]) for row in rows[1:]]
    full = count_macs(load_model(rival), 32)
    assert full > left[0] > left[1] > left[2] == summary_of(tmp_path / "whole")["macs"]
    assert left[2] <= 0.4 * full
    assert summary_of(tmp_path / "whole")["best_epoch"] == 3  # never before the last round


@pytest.mark.parametrize("importance", ["taylor", pytest.param("contribution", marks=pytest.mark.slow)])
def test_channels_of_our_own_network(tuned: Path, data_folder: Path, tmp_path: Path, importance: str) -> None:
    words = ["--kind", "channels", "--target-macs", "70%", "--importance", importance]
    assert main(prune(tuned, data_folder, tmp_path / "run", *words, *TRAINED, "--rounds", "2")) == 0
    network, before = load_model(tmp_path / "run"), load_model(tuned)
    assert isinstance(network, Network)
    assert 0.6 * count_macs(before, 32) <= count_macs(network, 32) <= 0.7 * count_macs(before, 32)
    assert not network.importances()


@pytest.mark.slow
def test_our_own_network_is_resumed_to_the_same_bytes(tuned: Path, data_folder: Path, tmp_path: Path) -> None:
    words = ["--kind", "channels", "--target-params", "80%", "--rounds", "2", *TRAINED]
    assert main(prune(tuned, data_folder, tmp_path / "whole", *words)) == 0
    assert_same_run(
        tmp_path / "whole", killed_and_resumed(prune(tuned, data_folder, tmp_path, *words), tmp_path / "killed")
    )


def zeros(run: Path) -> float:
    weights = prunable_weights(load_model(run))
    return sum(int((weight == 0).sum()) for weight in weights.values()) / sum(w.numel() for w in weights.values())


def test_weights_become_zero_and_stay_so(rival: Path, data_folder: Path, tmp_path: Path) -> None:
    words = ["--kind", "weights", "--amount", "0.5", "--scope", "lamp"]
    assert main(prune(rival, data_folder, tmp_path / "still", *words, *STILL, "--recalibration", "0")) == 0
    assert main(prune(rival, data_folder, tmp_path / "run", *words, *TRAINED, "--rounds", "2")) == 0
    for name in ("still", "run"):
        assert zeros(tmp_path / name) == pytest.approx(0.5, abs=2e-4)
        assert summary_of(tmp_path / name)["pruned"]["share_of_zeros"] == zeros(tmp_path / name)  # type: ignore[index]
        size = (tmp_path / name / "weights.safetensors").stat().st_size
        assert size == (rival / "weights.safetensors").stat().st_size  # a dense file does not shrink
    before, after = (load_model(path).state_dict() for path in (rival, tmp_path / "still"))
    assert all(torch.equal(after[name], before[name]) for name in before if not name.endswith("weight"))
    again = prune(rival, data_folder, tmp_path, *words, *TRAINED, "--rounds", "2")
    assert_same_run(tmp_path / "run", killed_and_resumed(again, tmp_path / "killed"))


def test_layers_leave_and_weights_stay(data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["finetune", "--arch", "squeezenet", "--input-size", "32", "--data", str(data_folder), *TUNE]
    assert main([*words, "--epochs", "1", "--out", str(tmp_path / "whole")]) == 0
    words = ["--kind", "layers", "--until", "4", *STILL]
    assert main(prune(tmp_path / "whole", data_folder, tmp_path / "until4", *words)) == 0
    before, after = (load_model(tmp_path / name).state_dict() for name in ("whole", "until4"))
    kept = [name for name in after if "gaze" not in name]
    assert len(kept) == 14  # weights and biases of a convolution and of two blocks of three
    assert all(torch.equal(after[name], before[name]) for name in kept)
    assert count_params(load_model(tmp_path / "until4")) == 28_857 - 23 * 129  # two outputs instead of 25
    words = ["--kind", "layers", "--until", "5", *STILL]
    assert "with all its layers, found one until 4" in run_bad(
        prune(tmp_path / "until4", data_folder, tmp_path / "no", *words), capsys
    )


def test_bad_input(
    rival: Path, tuned: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    cases = {
        "--kind: expected one of weights, channels, layers, found 'neurons'": ["--kind", "neurons"],
        "--target-macs: expected one budget": ["--kind", "channels"],
        "is out of reach: expected at least": ["--kind", "channels", "--target-macs", "1000"],
        "--importance: expected one of taylor, l1, l2, bn_scale for a comparator": [
            *("--kind", "channels", "--target-macs", "50%", "--importance", "contribution"),
        ],
        "--amount: expected a share between 0 and 1": ["--kind", "weights"],
        "--kind layers: expected one of the backbones": ["--kind", "layers", "--until", "2"],
        "rounds: expected 1 without epochs": ["--kind", "weights", "--amount", "0.5", "--epochs", "0", "--rounds", "2"],
    }
    for message, words in cases.items():
        assert message in run_bad(prune(rival, data_folder, out, *words), capsys), message
    own = ["--kind", "channels", "--target-macs", "1000"]
    said = run_bad(prune(tuned, data_folder, out, *own), capsys)
    assert "below what remains with every unit gone: expected at least" in said
    assert not (out / "arch.json").exists()
    with pytest.raises(InputError, match="prune_until: expected more than 0 and at most 1, found 2"):
        PruneRecipe(prune_until=2).check()
