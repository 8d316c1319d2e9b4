"""Channels filled up to a multiple: other shapes, the same answers."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.export.onnx import export_onnx
from gazenas.models.build import full_architecture
from gazenas.models.channel_multiple import fill_channels
from gazenas.models.network import Network
from gazenas.models.zoo import build_model, build_subnet
from gazenas.space.architecture import Architecture
from gazenas.space.search_space import SearchSpace
from tests.running import disturb


def ragged(space: SearchSpace, numbers: list[int]) -> Architecture:
    """Counts that follow from one number after another, from nothing to everything."""
    number = itertools.cycle(numbers)
    return full_architecture(space).with_counts(lambda block, operator, group, units: next(number) % (units + 1))


@pytest.mark.parametrize("multiple", [1, 4, 8])
@pytest.mark.parametrize("numbers", [[1, 2, 3, 4, 5, 6, 7], [0, 3, 0, 0, 5], [3, 0, 1, 0], [0]])
def test_the_same_answers(micro_space: SearchSpace, numbers: list[int], multiple: int) -> None:
    arch = ragged(micro_space, numbers)
    subnet = disturb(build_subnet(arch)).eval()
    before = {name: tensor.clone() for name, tensor in subnet.state_dict().items()}
    wide = fill_channels(subnet, multiple)
    images = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(wide(images), subnet(images), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in subnet.state_dict().items())
    assert subnet.architecture() == arch
    full = full_architecture(micro_space).kept
    for block, operators in wide.architecture().kept.items():
        assert operators["tokens"] == arch.kept[block]["tokens"]
        for group, count in operators["mixconv"].items():
            had, most = arch.kept[block]["mixconv"][group], full[block]["mixconv"][group]
            assert count == min(most, had + -had % multiple)
    assert (count_macs(wide, 32) > count_macs(subnet, 32)) == (wide.architecture() != arch)


def test_a_changed_head_and_gray_images(micro_space: SearchSpace) -> None:
    arch = ragged(micro_space, [3, 5])
    subnet = disturb(build_subnet(arch, input_channels=1))
    subnet.reset_head(outputs=5)
    image = torch.randn(2, 1, 32, 32)
    wide = fill_channels(subnet, 4)
    with torch.no_grad():
        torch.testing.assert_close(wide(image), subnet.eval()(image), rtol=1e-4, atol=1e-5)


def test_export(micro_space: SearchSpace, tmp_path: Path) -> None:
    """Verified against the network as it was; the file says what it holds, and whose architecture it is."""
    subnet = disturb(build_subnet(ragged(micro_space, [3, *[0] * 30, 5, *[0] * 30])))
    faces = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), np.uint8)
    report = export_onnx(subnet, tmp_path / "gaze.onnx", faces, channel_multiple=8)
    model = onnx.load(str(tmp_path / "gaze.onnx"))
    said = {entry.key: entry.value for entry in model.metadata_props}
    wide = fill_channels(subnet, 8)
    assert said["fingerprint"] == subnet.architecture().fingerprint()
    assert (said["macs"], said["params"]) == (str(count_macs(wide, 32)), str(count_params(wide)))
    assert isinstance(report.network, Network)
    assert report.network.architecture() == wide.architecture() != subnet.architecture()


def test_a_comparator_has_no_channels_to_fill(tmp_path: Path) -> None:
    faces = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(InputError, match="--channel-multiple: expected a network of search blocks"):
        export_onnx(
            build_model("gazecapture-shuffle", input_size=32), tmp_path / "gaze.onnx", faces, channel_multiple=8
        )
