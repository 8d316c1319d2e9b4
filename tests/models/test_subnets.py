"""Shipped subnets by name, and what people do with a subnet in their own code."""

from __future__ import annotations

import copy
import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import gazenas
from gazenas.counting import count_macs, count_params
from gazenas.data.dataset import Faces
from gazenas.errors import InputError
from gazenas.export.onnx import export_onnx
from gazenas.export.runtime import GazeEstimator
from gazenas.models import zoo as builders
from gazenas.models.build import full_architecture
from gazenas.models.network import Network
from gazenas.models.zoo import build_subnet, list_subnets, load_model, load_space
from gazenas.training.loop import predict_faces
from tests.running import MICRO, disturb

SUBNETS = list_subnets()
CARDS = Path(builders.__file__).parent / "subnets"


@pytest.fixture
def subnet() -> Network:
    torch.manual_seed(0)
    return disturb(build_subnet(full_architecture(load_space(MICRO)))).eval()


def test_every_shipped_subnet_has_a_size_or_weights_of_its_own() -> None:
    """A name that ends in ``-portrait`` is another network's architecture, trained on other faces."""
    assert SUBNETS
    plain = [name for name in SUBNETS if not name.endswith("-portrait")]
    assert len({count_macs(build_subnet(name), build_subnet(name).input_size) for name in plain}) == len(plain)
    for name in set(SUBNETS) - set(plain):
        other = name.removesuffix("-portrait")
        assert build_subnet(name).architecture().fingerprint() == build_subnet(other).architecture().fingerprint()
        assert (CARDS / f"{name}.safetensors").read_bytes() != (CARDS / f"{other}.safetensors").read_bytes()
    assert gazenas.list_subnets() == SUBNETS


@pytest.mark.parametrize("name", SUBNETS)
def test_a_shipped_subnet_is_what_its_card_says(name: str) -> None:
    card = (CARDS / f"{name}.md").read_text()
    assert card.splitlines()[0].startswith("Trained on rendered faces; its error on real faces is not measured")
    network = build_subnet(name, weights="default").eval()
    size = network.input_size
    assert f"| {count_macs(network, size):,} |" in card
    assert f"| {count_params(network):,} |" in card
    assert network.architecture().fingerprint() in card
    weights = (CARDS / f"{name}.safetensors").read_bytes()
    assert len(weights) < 5_000_000
    assert f"| weights | SHA-256 {hashlib.sha256(weights).hexdigest()} |" in card.splitlines()
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert torch.equal(load_model(name)(images), network(images))
    fresh = build_subnet(name)
    assert not torch.equal(fresh.stem[0].weight, network.stem[0].weight)  # type: ignore[index]


@pytest.mark.parametrize("name", [name for name in SUBNETS if "224" in name])
def test_the_paper_s_budget_is_kept_at_224(name: str) -> None:
    network = build_subnet(name)
    assert network.input_size == 224
    assert count_macs(network, 224) <= 280e6
    assert count_params(network) <= 1.03e6


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in SUBNETS])
def test_a_shipped_subnet_exports(name: str, tmp_path: Path) -> None:
    network = load_model(name)
    faces = np.random.default_rng(0).integers(0, 256, (9, network.input_size, network.input_size, 3), np.uint8)
    assert export_onnx(network, tmp_path / "gaze.onnx", faces).worst < 0.01


@pytest.mark.skipif(not SUBNETS, reason="none is shipped")
def test_the_base_install_is_enough() -> None:
    """In a process that cannot import anything beyond torch, numpy, einops and safetensors."""
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        absent = "h5py scipy yaml jsonargparse rich matplotlib PIL onnx onnxruntime fvcore pytorchcv"
        if name.split(".")[0] in absent.split():
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import gazenas, torch
net = gazenas.build_subnet({SUBNETS[0]!r}, weights="default").eval()
print(tuple(net(torch.zeros(1, 3, net.input_size, net.input_size)).shape))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(1, 2)", done.stderr


def test_features_for_another_head(subnet: Network) -> None:
    maps = subnet.forward_features(torch.randn(2, 3, 32, 32))
    assert [tuple(x.shape) for x in maps] == [(2, 4, 8, 8), (2, 6, 4, 4), (2, 8, 2, 2)]


def test_another_number_of_outputs(subnet: Network) -> None:
    before = subnet.head.gaze
    subnet.reset_head(outputs=5)
    assert subnet.head.gaze is not before
    images = torch.randn(2, 3, 32, 32)
    assert subnet(images).shape == (2, 5)
    subnet(images).sum().backward()
    assert subnet.stem[0].weight.grad is not None  # type: ignore[index]


@pytest.mark.slow
def test_one_channel(subnet: Network, tmp_path: Path) -> None:
    """Infrared: weights of three channels, added up, answer a gray image as its three copies would be."""
    from safetensors.torch import save_file

    arch = subnet.architecture()
    weights = {key: value.contiguous() for key, value in subnet.state_dict().items()}
    save_file(weights, tmp_path / "weights.safetensors")
    gray = build_subnet(arch, weights=tmp_path / "weights.safetensors", input_channels=1).eval()
    image = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(gray(image), subnet(image.expand(-1, 3, -1, -1)), atol=1e-5, rtol=1e-5)
    assert count_macs(gray, 32) < count_macs(subnet, 32)
    arch.save(tmp_path / "arch.json")
    save_file({key: value.contiguous() for key, value in gray.state_dict().items()}, tmp_path / "weights.safetensors")
    assert torch.equal(load_model(tmp_path)(image), gray(image))
    with pytest.raises(ValueError, match=r"expected images of shape \(N, 1, 32, 32\), found \(2, 3, 32, 32\)"):
        gray(image.expand(-1, 3, -1, -1))
    faces = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    assert export_onnx(gray, tmp_path / "gaze.onnx", faces).worst < 0.01
    estimator = GazeEstimator(tmp_path / "gaze.onnx")
    np.testing.assert_allclose(estimator(faces), predict_faces(gray, Faces(faces)), atol=1e-4)
    np.testing.assert_allclose(estimator(faces, color_order="BGR"), estimator(faces), atol=1e-6)


@pytest.mark.parametrize("size", [32, 64, 96])
def test_other_input_sizes(size: int) -> None:
    network = build_subnet(full_architecture(load_space(MICRO)), input_size=size).eval()
    assert network(torch.randn(1, 3, size, size)).shape == (1, 2)
    with pytest.raises(InputError, match="input_size"):
        build_subnet(full_architecture(load_space(MICRO)), input_size=size + 8)


@pytest.mark.slow
def test_compiling(subnet: Network) -> None:
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        compiled = torch.compile(copy.deepcopy(subnet), fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(images), subnet(images), atol=1e-5, rtol=1e-5)


def test_copies_and_half_precision(subnet: Network) -> None:
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = subnet(images)
        assert torch.equal(copy.deepcopy(subnet)(images), expected)
        assert torch.equal(pickle.loads(pickle.dumps(subnet))(images), expected)
        for kind, limit in ((torch.bfloat16, 0.1), (torch.float16, 0.02)):
            half = copy.deepcopy(subnet).to(kind)(images.to(kind))
            assert half.dtype == kind
            assert (half.float() - expected).abs().max() < limit * max(1.0, float(expected.abs().max()))


def test_weights_of_a_name_only() -> None:
    with pytest.raises(InputError, match="expected 'default' with a shipped name"):
        build_subnet(full_architecture(load_space(MICRO)), weights="default")
