"""The form for a runtime: other operations, the same answers."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gazenas.export.forms import BlockForm, _runs, fold_norms, mixconv_forms, runtime_form
from gazenas.export.onnx import export_onnx
from gazenas.export.token_form import Resize, TokenForm
from gazenas.models.build import full_architecture
from gazenas.models.zoo import build_subnet, build_supernet, load_space, space_folder
from gazenas.ops.tokens import TokenTransformer
from gazenas.space.architecture import Architecture
from gazenas.space.search_space import STREAM, SearchSpace
from tests.running import MICRO, MICRO_CHAIN, MICRO_STREAMS, disturb

SPACES = sorted(path.stem for path in space_folder().glob("*.yaml"))
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


def ragged(space: SearchSpace, seed: int) -> Architecture:
    """Counts by chance; a fifth of the groups keep nothing."""
    rng = np.random.default_rng(seed)

    def count(block: str, operator: str, group: str, units: int) -> int:
        if operator == STREAM:
            return int(rng.integers(space.least_stream_width, units + 1))
        return 0 if rng.random() < 0.2 else int(rng.integers(1, units + 1))

    return full_architecture(space).with_counts(count)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", [MICRO, MICRO_STREAMS, MICRO_CHAIN])
def test_the_same_answers(name: Path, seed: int) -> None:
    subnet = disturb(build_subnet(ragged(load_space(name), seed))).double().eval()
    before = {name: tensor.clone() for name, tensor in subnet.state_dict().items()}
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(runtime_form(subnet)(images), subnet(images), **TOLERANCE)
    assert all(torch.equal(tensor, before[name]) for name, tensor in subnet.state_dict().items())


@pytest.mark.parametrize("name", SPACES)
def test_of_every_space(name: str) -> None:
    space = load_space(name)
    subnet = disturb(build_subnet(ragged(space, 1))).double().eval()
    images = torch.randn(1, 3, space.input_size, space.input_size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(runtime_form(subnet)(images), subnet(images), **TOLERANCE)


def test_without_any_unit_and_of_a_supernet(micro_space: SearchSpace) -> None:
    empty = full_architecture(micro_space).with_counts(lambda *group: 0)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    for network in (build_subnet(empty), build_supernet(micro_space)):
        disturb(network).double().eval()
        with torch.no_grad():
            torch.testing.assert_close(runtime_form(network)(images), network(images), **TOLERANCE)


def test_an_operator_without_a_form_keeps_its_channels(micro_space: SearchSpace) -> None:
    class Strict(nn.Module):
        out_channels = 6

        def units(self) -> list[None]:
            return []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[1] == 6, "exactly what the block reads"
            return x.sin()

    subnet = disturb(build_subnet(ragged(micro_space, 0))).double().eval()
    subnet.blocks()["stage1.parallel.branch1.block1"].paths["strict"] = Strict()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(runtime_form(subnet)(images), subnet(images), **TOLERANCE)


@pytest.mark.parametrize("weights", [[0.7, -1.3, 0.0, 1e-30], [0.0, 0.0, 0.0, 0.5], [0.0] * 4, [1.0] * 4])
@pytest.mark.parametrize("stride", [1, 2])
def test_keys_of_any_weight(weights: list[float], stride: int) -> None:
    settings = {"in_channels": 5, "out_channels": 7, "widths": {"token": 4}, "importance": False, "grid": 3}
    path = TokenTransformer(stride=stride, **settings).double().eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in path.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        path.key_weight.copy_(torch.tensor(weights))
        x = torch.randn(2, 5, 8, 8, dtype=torch.float64)
        found = TokenForm(path, 8, 16, 16).eval()(F.pad(x, (0, 0, 0, 0, 0, 11)))
        torch.testing.assert_close(found[:, :7], path(x), **TOLERANCE)
    assert not found[:, 7:].any()


@pytest.mark.parametrize("before", [1, 2, 3, 4, 7, 16, 28, 56])
@pytest.mark.parametrize("after", [1, 3, 6, 8, 15, 56])
def test_resizes_are_products(before: int, after: int) -> None:
    maps = torch.rand(2, 3, before, before, dtype=torch.float64)
    expected = F.interpolate(maps, (after, after), mode="bilinear", align_corners=False)
    torch.testing.assert_close(Resize(before, after, torch.float64)(maps), expected, **TOLERANCE)


def test_kernels_share_a_chain_only_where_they_are_thin(micro_space: SearchSpace) -> None:
    """On small maps a few channels are one chain; on large maps many channels of different kernels are not."""
    space = load_space("gazenas_tiny")
    thin = full_architecture(space).with_counts(lambda block, operator, group, units: min(units, 3))
    path = build_subnet(thin).blocks()["stage3.parallel.branch3.block1"].paths["mixconv"]
    assert len(mixconv_forms(path, 4, (64, 64))) == 1  # type: ignore[arg-type]
    wide = build_subnet(full_architecture(space)).blocks()["stage3.parallel.branch3.block1"].paths["mixconv"]
    assert len(mixconv_forms(wide, 64, (64, 64))) == 3  # type: ignore[arg-type]


def test_runs_are_all_ways_to_cut() -> None:
    counts = [(3, 1), (5, 1), (7, 1), (9, 1)]
    found = _runs(counts)
    assert len(found) == 2**3
    assert all(list(itertools.chain(*parts)) == counts for parts in found)


def test_norms_fold_into_the_convolutions_before_them() -> None:
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.BatchNorm2d(4),
        nn.Sequential(nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2)),
    )
    for norm in (layer for layer in layers.modules() if isinstance(layer, nn.BatchNorm2d)):
        norm.running_mean = torch.randn(norm.num_features)
        norm.running_var = 0.5 + torch.rand(norm.num_features)
    layers.double().eval()
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    with torch.no_grad():
        expected = layers(x)
        fold_norms(layers)
        torch.testing.assert_close(layers(x), expected, **TOLERANCE)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in layers.modules()) == 1  # the one behind no convolution


def operations(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(str(path)).graph.node)


def test_the_file_has_no_guards_norms_or_splits(micro_space: SearchSpace, tmp_path: Path) -> None:
    subnet = disturb(build_subnet(full_architecture(micro_space)))
    faces = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), np.uint8)
    report = export_onnx(subnet, tmp_path / "gaze.onnx", faces)
    assert report.worst < 0.01
    found = operations(tmp_path / "gaze.onnx")
    assert not {"BatchNormalization", "Where", "Greater", "Exp", "Clip", "Split", "Expand", "Cast"} & set(found)
    model = onnx.load(str(tmp_path / "gaze.onnx"))
    modes = {a.s for node in model.graph.node if node.op_type == "Resize" for a in node.attribute if a.name == "mode"}
    assert modes == {b"nearest"}, "bilinear resizes are products"
    blocks = [module for module in runtime_form(subnet).modules() if isinstance(module, BlockForm)]
    assert len(blocks) == len(subnet.blocks())
    shapes = {value.name: value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.value_info}
    made = {node.output[0] for node in model.graph.node if node.op_type in ("Reshape", "Resize")}
    assert set(shapes) == made - {"gaze"}
    assert set(shapes.values()) == {"batch"}, "a runtime joins operations only where it knows that batches agree"


@pytest.mark.slow
def test_half_precision(micro_space: SearchSpace, tmp_path: Path) -> None:
    subnet = disturb(build_subnet(ragged(micro_space, 3)))
    faces = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    assert export_onnx(subnet, tmp_path / "gaze.onnx", faces, precision="fp16").worst < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_a_file_of_every_space_agrees(name: str, tmp_path: Path) -> None:
    space = load_space(name)
    subnet = disturb(build_subnet(ragged(space, 2)))
    faces = np.random.default_rng(0).integers(0, 256, (8, space.input_size, space.input_size, 3), np.uint8)
    assert export_onnx(subnet, tmp_path / "gaze.onnx", faces).worst < 0.01
