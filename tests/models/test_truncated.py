"""Backbones that end early, and comparators with fewer channels: exact sizes, saved and loaded, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from gazenas.compression.layers import end_at
from gazenas.counting import count_params
from gazenas.errors import InputError
from gazenas.models.baselines import Baseline
from gazenas.models.baselines.handmade import handmade, handmade_macs, handmade_params
from gazenas.models.zoo import build_model, find_model, load_model
from gazenas.training.run_folder import RunFolder

# Parameters of SqueezeNet 1.1 until a layer, averaged, and a linear layer of 25 outputs, as a thesis counts them.
THESIS = {"11": 538_137, "10": 345_945, "9": 234_921, "7": 126_841, "6": 77_401, "4": 28_857}


@pytest.mark.parametrize(("until", "params"), THESIS.items())
def test_squeezenets_that_end_early_have_the_published_sizes(until: str, params: int) -> None:
    network = build_model(f"squeezenet@{until}", input_size=64)
    body: nn.Module = network.body
    body.gaze = nn.Linear(body.gaze.in_features, 25)  # type: ignore[union-attr, arg-type]
    assert count_params(network) == params


def test_a_backbone_that_ends_early_is_saved_and_loaded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_model("resnet18@stage2.unit1", input_size=64).eval()
    with RunFolder(tmp_path / "run", "finetune") as run:
        run.write_network(network)
    read = json.loads((tmp_path / "run" / "arch.json").read_text())
    assert (read["baseline"], read["settings"]) == ("resnet18", {"until": "stage2.unit1"})
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "run")(x), network(x))


def test_unknown_layers_name_the_known() -> None:
    with pytest.raises(InputError, match=r"squeezenet@13: expected one of its layers \(1, 2, .*12, .*stage3.unit4"):
        build_model("squeezenet@13")
    with pytest.raises(InputError, match="resnet18@9: expected one of its layers .init_block, stage1.unit1"):
        build_model("resnet18@9")
    with pytest.raises(InputError, match="unknown subnet 'handmade-9m@2'"):
        find_model("handmade-9m@2")


def narrow(channels: dict[str, list[int]], folder: Path) -> Path:
    spec = handmade(input_size=32, channels=[8, 8, 8]).architecture()
    spec.save(folder / "arch.json")
    values = json.loads((folder / "arch.json").read_text())
    (folder / "arch.json").write_text(json.dumps(values | {"channels": channels}))
    return folder / "arch.json"


# The first convolution makes five channels instead of eight.
FIVE: dict[str, list[int]] = {"features.0.0": [3, 5], "features.0.1": [5], "features.1.0": [5, 8]}


def test_fewer_channels_are_those_of_a_network_built_so(tmp_path: Path) -> None:
    network = build_model(narrow(FIVE, tmp_path))
    assert isinstance(network, Baseline)
    assert count_params(network) == handmade_params([5, 8, 8], 32)
    built = handmade(input_size=32, channels=[5, 8, 8])
    assert [tuple(p.shape) for p in network.parameters()] == [tuple(p.shape) for p in built.parameters()]
    assert handmade_macs([5, 8, 8], 32) < handmade_macs([8, 8, 8], 32)
    network.architecture().save(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text())["channels"] == FIVE


def test_fresh_weights_have_the_deviation_of_their_fan_in(tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = {"features.1.0": [200, 300], "features.0.0": [3, 200], "features.0.1": [200]}
    handmade(input_size=32, channels=[400, 300, 8]).architecture().save(tmp_path / "arch.json")
    values = json.loads((tmp_path / "arch.json").read_text())
    (tmp_path / "arch.json").write_text(json.dumps(values | {"channels": spec}))
    drawn = build_model(tmp_path / "arch.json").state_dict()["body.features.1.0.weight"]
    plain = nn.Conv2d(200, 300, 3).weight
    assert float(drawn.std()) == pytest.approx(float(plain.std()), rel=0.02)


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ({"features.9": [3]}, "features.9: expected at most no such layer"),
        ({"features.0.0": [3, 9]}, r"features.0.0: expected at most \[3, 8\], found \[3, 9\]"),
        ({"features.0.1": [3, 5]}, r"features.0.1: expected at most \[8\], found \[3, 5\]"),
        ({"features.0.0": [3, 5]}, "these do not fit together"),
        ({"features.0.0": [3, 0]}, "expected one or two positive whole numbers a layer"),
    ],
)
def test_channels_that_do_not_fit_are_refused(channels: dict[str, list[int]], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        build_model(narrow(channels, tmp_path))


def test_dropout_before_the_last_layer(tmp_path: Path) -> None:
    """In training alone, with as many parameters, remembered by ``arch.json`` and by what ends earlier."""
    torch.manual_seed(0)
    network, plain = build_model("squeezenet@dropout=0.5,until=9", input_size=64), build_model("squeezenet@9")
    assert count_params(network) == count_params(plain)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network.eval()(x), network(x))
        assert not torch.equal(network.train()(x), network(x))
    with RunFolder(tmp_path / "run", "finetune") as run:
        run.write_network(network)
    assert load_model(tmp_path / "run").architecture() == network.architecture()
    whole = build_model("squeezenet@dropout=0.5", input_size=64)
    assert end_at(whole, "9").architecture() == network.architecture()
    with pytest.raises(InputError, match="squeezenet@dropout: expected a share from 0 to below 1.*found '2'"):
        build_model("squeezenet@dropout=2")
