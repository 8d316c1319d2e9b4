"""Hand-made rivals: formulas against counting, stated shapes, settings that survive saving, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.export.onnx import export_onnx
from gazenas.layers.activation import Activation
from gazenas.models.baselines import BASELINES
from gazenas.models.baselines.baseline import BaselineSpec
from gazenas.models.baselines.handmade import (
    handmade,
    handmade_macs,
    handmade_mobile,
    handmade_params,
    handmade_window,
    stretch,
    strided_convolutions,
)
from gazenas.models.zoo import build_model, list_subnets, load_model


@pytest.mark.parametrize("seed", range(8))
def test_formulas_are_what_is_counted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.choice([16, 32, 64, 96, 128, 224]))
    channels = [int(width) for width in rng.integers(1, 40, strided_convolutions(size))]
    hidden = int(rng.integers(1, 90))
    network = handmade(input_size=size, channels=channels, hidden=hidden)
    assert handmade_macs(channels, size, hidden) == count_macs(network, size)
    assert handmade_params(channels, size, hidden) == count_params(network)
    many = [np.array([width, width + 4]) for width in channels]
    assert handmade_macs(many, size, hidden)[0] == count_macs(network, size)
    assert handmade_params(many, size, hidden)[0] == count_params(network)


def test_a_handmade_network_by_hand() -> None:
    """The same function from torch's own layers and the same weights, written out."""
    torch.manual_seed(0)
    network = handmade(input_size=32, channels=[3, 5, 4], hidden=6).eval()
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    first, second = (m for m in network.modules() if isinstance(m, nn.Linear))
    assert [c.stride[0] for c in convolutions] == [2, 2, 1, 1, 2, 1, 1]
    x = images = torch.randn(2, 3, 32, 32)
    layers = list(zip(convolutions, norms, strict=True))
    x = torch.relu(layers[0][1](layers[0][0](x)))
    for number in (1, 4):
        strided, inner, closing = layers[number : number + 3]
        x = torch.relu(strided[1](strided[0](x)))
        x = torch.relu(x + closing[1](closing[0](torch.relu(inner[1](inner[0](x))))))
    assert x.shape == (2, 4, 4, 4)
    expected = second(torch.relu(first(x.flatten(1))))
    torch.testing.assert_close(network(images), expected)


@pytest.mark.parametrize("kind", ["handmade", "handmade-mobile", "handmade-window"])
def test_widths_in_a_name(kind: str, tmp_path: Path) -> None:
    network = build_model(f"{kind}@8-12-16-20")
    assert network.input_size == 64
    assert network.architecture().settings["channels"] == [8, 12, 16, 20]  # type: ignore[union-attr]
    network.architecture().save(tmp_path / "arch.json")
    assert build_model(tmp_path / "arch.json").architecture() == network.architecture()
    for words, message in (
        ("8-12-16", "expected 4 positive"),
        ("8-12-x-20", "expected 4 positive"),
        ("size=3", "size"),
    ):
        with pytest.raises(InputError, match=message):
            build_model(f"{kind}@{words}")


@pytest.mark.parametrize(("size", "side"), [(64, 48), (224, 168), (32, 24)])
def test_a_window_is_the_middle_alone(size: int, side: int) -> None:
    """Pixels outside do not matter, and the layers are those of the same network on the middle."""
    torch.manual_seed(0)
    channels = [4, 6, 8, 10, 12][: strided_convolutions(size)]
    network = handmade_window(input_size=size, channels=channels, hidden=6).eval()
    images = torch.randn(2, 3, size, size)
    margin = (size - side) // 2
    answer = network(images)
    inside = torch.zeros_like(images)
    middle = images[..., margin:-margin, margin:-margin]
    inside[..., margin:-margin, margin:-margin] = middle
    torch.testing.assert_close(network(inside), answer)
    layers = network.body.features[1:]  # type: ignore[index]
    torch.testing.assert_close(network.body.gaze(layers(middle)), answer)  # type: ignore[operator]
    if side % (1 << len(channels)) == 0:
        assert count_macs(network, size) == handmade_macs(channels, side, 6)
        assert count_params(network) == handmade_params(channels, side, 6)


@pytest.mark.parametrize(
    ("name", "size", "most_macs", "least_macs", "most_params"),
    [
        ("handmade-5m", 64, 5e6, 4.8e6, 0.2e6),
        ("handmade-9m", 64, 9.15e6, 9.1e6, 0.33e6),
        ("handmade-18m", 64, 18e6, 17.6e6, 0.6e6),
        ("handmade-280m", 224, 280e6, 275e6, 1.03e6),
        ("handmade-mobile-9m", 64, 9.85e6, 9.5e6, 0.3e6),
    ],
)
def test_names_keep_their_promises(
    name: str, size: int, most_macs: float, least_macs: float, most_params: float
) -> None:
    network = build_model(name)
    assert network.input_size == size
    assert least_macs <= count_macs(network, size) <= most_macs
    assert count_params(network) <= most_params
    assert name not in list_subnets()
    assert network.architecture().settings == {}  # nothing but a name and a size in arch.json


def test_sizes_of_the_last_map() -> None:
    assert [strided_convolutions(size) for size in (8, 14, 32, 64, 112, 128, 224)] == [1, 1, 3, 4, 4, 5, 5]
    for size in (0, 1, 9, 100):
        with pytest.raises(InputError, match=f"expected a positive multiple of .*, found {size}"):
            strided_convolutions(size)


def test_stretched_widths_keep_their_ends_and_their_curve() -> None:
    assert stretch([1, 2, 4, 8], 4) == pytest.approx([1, 2, 4, 8])
    assert stretch([1, 4], 3) == pytest.approx([1, 2, 4])
    assert stretch([1, 2, 4], 5) == pytest.approx([1, 2**0.5, 2, 2**1.5, 4])
    assert stretch([3, 5], 1) == pytest.approx([5])


def test_a_smooth_activation_by_name(tmp_path: Path) -> None:
    """Behind every convolution; kept with the network, unlike ReLU, which older files do not name."""
    network = build_model("handmade-window@channels=8-8-12-16,activation=silu").eval()
    plain = build_model("handmade-window@8-8-12-16").eval()
    plain.load_state_dict(network.state_dict())
    faces = torch.randn(2, 3, 64, 64)
    assert not torch.allclose(plain(faces), network(faces))
    for module in plain.modules():
        if hasattr(module, "activation"):
            module.activation = "silu"
        elif isinstance(module, Activation):
            module.name = "silu"
    assert torch.equal(plain(faces), network(faces))
    network.architecture().save(tmp_path / "arch.json")
    assert build_model(tmp_path / "arch.json").architecture() == network.architecture()
    assert plain.architecture().settings == {"channels": [8, 8, 12, 16], "hidden": 64}  # type: ignore[union-attr]
    with pytest.raises(InputError, match="handmade-window: activation: expected one of relu, silu, found 'tanh'"):
        build_model("handmade-window@channels=8-8-12-16,activation=tanh")


@pytest.mark.parametrize("build", [handmade, handmade_window, pytest.param(handmade_mobile, marks=pytest.mark.slow)])
def test_custom_widths_are_saved_loaded_and_exported(build: object, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build(input_size=32, channels=[6, 9, 13], hidden=11)  # type: ignore[operator]
    network.architecture().save(tmp_path / "arch.json")
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    loaded, images = load_model(tmp_path), torch.randn(3, 3, 32, 32)
    assert torch.equal(loaded(images), network.eval()(images))
    assert loaded.architecture() == network.architecture()
    assert loaded.architecture().fingerprint() == network.architecture().fingerprint()
    assert loaded.architecture().fingerprint() != BASELINES["handmade-5m"]().architecture().fingerprint()
    faces = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), np.uint8)
    assert export_onnx(loaded, tmp_path / "gaze.onnx", faces).worst < 0.01
    larger = build_model(tmp_path / "arch.json", input_size=40)  # as many halvings, so the same widths
    assert larger.input_size == 40
    with pytest.raises(InputError, match="expected 4 positive whole numbers for 64 pixels"):
        build_model(tmp_path / "arch.json", input_size=64)


def test_files_without_settings_stay_as_they_were(tmp_path: Path) -> None:
    build_model("gazecapture", input_size=32).architecture().save(tmp_path / "arch.json")
    assert set(json.loads((tmp_path / "arch.json").read_text())) == {"format", "baseline", "input_size"}
    # The hash of {"baseline": "gazecapture", "input_size": 32}, as files of earlier versions recorded it.
    assert BaselineSpec("gazecapture", 32).fingerprint() == "bb4056f85712dad2"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("handmade", {}, "missing a required argument: 'channels'"),
        ("handmade", {"channels": [8, 8, 8], "depth": 3}, "unexpected keyword argument 'depth'"),
        ("handmade", {"channels": [8, 8]}, r"expected 3 positive whole numbers for 32 pixels, found \[8, 8\]"),
        ("handmade", {"channels": [8, 8, -1]}, "expected 3 positive whole numbers"),
        ("handmade", {"channels": "888"}, "expected 3 positive whole numbers"),
        ("handmade", {"channels": [8, 8, 8], "hidden": 0}, "hidden: expected a positive whole number, found 0"),
        ("handmade-9m", {"channels": [8, 8, 8]}, "settings: expected none with handmade-9m"),
        ("gaze360", {"frames": 7}, "settings: expected none with gaze360"),
        ("handmade", [8], "expected the keys format, baseline"),
    ],
)
def test_bad_settings_are_named(name: str, settings: object, message: str, tmp_path: Path) -> None:
    values = {"format": 1, "baseline": name, "input_size": 32, "settings": settings}
    (tmp_path / "arch.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=message):
        build_model(tmp_path / "arch.json")
