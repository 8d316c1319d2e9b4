"""ONNX files of subnets of each kind of space, of every head and of every operator answer what PyTorch does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gazenas.export.onnx import export_onnx
from gazenas.export.runtime import GazeEstimator
from gazenas.gaze import angular_error
from gazenas.models.heads import HEADS
from gazenas.models.zoo import build_subnet, load_space
from gazenas.ops import OPS
from gazenas.space.search_space import SearchSpace
from tests.running import MICRO, MICRO_CHAIN, MICRO_STREAMS, disturb, thinned

QUICK = [load_space(name) for name in (MICRO_CHAIN, "gazenas_fast_tiny")]
for head in ({"kind": "linear"}, {"kind": "spatial_softmax", "points": 3}):
    QUICK.append(replace(QUICK[0], name=f"micro_chain_{head['kind']}", head=head))
SLOW = [load_space(name) for name in (MICRO, MICRO_STREAMS, "atomnas_vit_tiny")]
SPACES = [*QUICK, *SLOW]


def test_every_head_and_operator_is_among_them() -> None:
    assert {space.head["kind"] for space in SPACES} == set(HEADS)
    assert {name for space in SPACES for entry in space.parallel for name in entry} == set(OPS)


@pytest.mark.parametrize(
    "space", [*QUICK, *(pytest.param(space, marks=pytest.mark.slow) for space in SLOW)], ids=lambda space: space.name
)
def test_round_trip(space: SearchSpace, tmp_path: Path) -> None:
    torch.manual_seed(0)
    subnet = disturb(build_subnet(thinned(space, 0.5))).eval()
    faces = np.random.default_rng(0).integers(0, 256, (5, space.input_size, space.input_size, 3), np.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    images = (torch.from_numpy(faces).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():  # answers a degree apart, about zero: a constant would be far off, and rounding is not
        spread = float(np.ptp(subnet(images).numpy(), axis=0).min())
        subnet.head.gaze.weight.mul_(0.02 / spread)
        subnet.head.gaze.bias.sub_(subnet(images).mean(0))
        expected = subnet(images).numpy()
    report = export_onnx(subnet, tmp_path / "gaze.onnx", faces)
    estimator = GazeEstimator(tmp_path / "gaze.onnx")
    assert angular_error(estimator(faces), expected).max() < 0.01
    assert report.worst < 0.01
    assert np.ptp(expected, axis=0).min() > 0.015
