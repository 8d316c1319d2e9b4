"""Ghost modules with other kernels and ratios: by name, by formula, on the way to a file and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gazenas.counting import count_params
from gazenas.errors import InputError
from gazenas.models.baselines.gazecapture import WIDTHS, GhostModule
from gazenas.models.zoo import build_model, load_model


def by_formula(kernels: tuple[int, ...], ratio: int) -> int:
    """Parameters of the Ghost modules of four blocks: two a block, whose hidden width is twice the block's."""
    total = 0
    for kernel, before, width in zip(kernels, (24, *WIDTHS), WIDTHS, strict=False):
        for ins, outs in ((before, 2 * width), (2 * width, width)):
            made = outs // ratio
            total += ins * made + made * (ratio - 1) * kernel**2 + 2 * outs
    return total


@pytest.mark.parametrize(
    ("options", "kernels", "ratio"),
    [
        ("@1", (1, 1, 1, 1), 2),
        ("@kernel=7", (7, 7, 7, 7), 2),
        ("@ratio=4", (3, 3, 3, 3), 4),
        ("@kernel=1-3-5-7,ratio=16", (1, 3, 5, 7), 16),
    ],
)
def test_parameters_by_formula(options: str, kernels: tuple[int, ...], ratio: int, tmp_path: Path) -> None:
    network = build_model(f"gazecapture-ghost{options}", input_size=32).eval()
    plain = build_model("gazecapture-ghost", input_size=32)
    changed = by_formula(kernels, ratio) - by_formula((3, 3, 3, 3), 2)
    assert count_params(network) - count_params(plain) == changed
    network.architecture().save(tmp_path / "arch.json")
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path).eval()(images), network(images))
    assert network.architecture().fingerprint() != plain.architecture().fingerprint()


def test_the_usual_numbers_are_the_usual_network() -> None:
    usual, named = (build_model(f"gazecapture-ghost{each}", input_size=32) for each in ("", "@kernel=3,ratio=2"))
    assert usual.architecture().fingerprint() == named.architecture().fingerprint()


def test_cheap_maps_come_from_their_own_map() -> None:
    """The first quarter of the maps is the 1x1 convolution's, and each other one sees one of them alone."""
    module = GhostModule(in_channels=4, out_channels=8, kernel=3, ratio=4, rectify=False).eval()
    x = torch.randn(1, 4, 5, 5)
    with torch.no_grad():
        before = module(x)
        assert torch.equal(before[:, :2], module.primary(x))
        module.primary[0].weight[1].zero_()  # the second of two maps
        changed = (module(x) - before).abs().amax((0, 2, 3)) > 1e-6
    assert changed.tolist() == [False, True, *3 * [False], *3 * [True]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("@kernel=4", "expected an odd number, or four joined by -, such as 1-3-5-7, found '4'"),
        ("@1-3", "found '1-3'"),
        ("@ratio=3", "expected one of 2, 4, 8, 16, found '3'"),
        ("@width=3", "expected kernel or ratio before =, found 'width'"),
    ],
)
def test_other_numbers_are_named(options: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_model(f"gazecapture-ghost{options}", input_size=32)
