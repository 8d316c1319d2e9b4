"""Weights of others under fresh ones: what fits by name and shape, from either kind of file, and nothing else."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gazenas.errors import InputError
from gazenas.models.baselines import Baseline
from gazenas.models.baselines.resnet import resnet50
from gazenas.models.pretrained import load_pretrained
from gazenas.models.zoo import build_model


def of_others(network: nn.Module, prefix: str) -> dict[str, Tensor]:
    """As a classifier's file has a backbone: other names in front, a last layer of its own."""
    torch.manual_seed(7)
    state = {
        f"{prefix}{name}": torch.randn_like(value.float()).to(value) for name, value in network.state_dict().items()
    }
    return state | {"fc.weight": torch.randn(1000, 512), "fc.bias": torch.randn(1000)}


@pytest.mark.parametrize("kind", ["safetensors", "pth", "wrapped"])
def test_a_backbone_is_filled_and_the_answer_stays_fresh(kind: str, tmp_path: Path) -> None:
    network = build_model("shufflenetv2", input_size=64)
    assert isinstance(network, Baseline)
    theirs = of_others(network.body.backbone, "features.")  # type: ignore[arg-type]
    path = tmp_path / f"weights.{'safetensors' if kind == 'safetensors' else 'pth'}"
    if kind == "safetensors":
        save_file(theirs, path)
    else:
        torch.save({"state_dict": OrderedDict(theirs), "epoch": 3} if kind == "wrapped" else theirs, path)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = load_pretrained(network, path)
    after = network.state_dict()
    inside = [name for name in after if name.startswith("body.backbone.")]
    assert all(torch.equal(after[name], theirs[name.replace("body.backbone", "features")]) for name in inside)
    assert all(torch.equal(after[name], before[name]) for name in after if name not in inside)
    assert (found.file, found.tensors, found.of) == (path.name, len(inside), len(after))
    assert len(found.sha256) == 64


def test_torchvisions_names_of_a_resnet(tmp_path: Path) -> None:
    """The trunk under HopeNet has torchvision's names, with nothing in front."""
    network = build_model("hopenet", input_size=32)
    save_file(of_others(resnet50(), ""), tmp_path / "resnet50.safetensors")
    found = load_pretrained(network, tmp_path / "resnet50.safetensors")
    assert found.tensors == len(resnet50().state_dict())


def test_both_eyes_of_rt_gene_get_the_same(tmp_path: Path) -> None:
    """VGG-16's convolutions have torchvision's numbers."""
    network = build_model("rt-gene", input_size=64)
    assert isinstance(network, Baseline)
    save_file(of_others(network.body.left, "features."), tmp_path / "vgg.safetensors")  # type: ignore[arg-type]
    assert load_pretrained(network, tmp_path / "vgg.safetensors").tensors == 2 * 26
    left, right = network.body.left.state_dict(), network.body.right.state_dict()  # type: ignore[operator,union-attr]
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    network = build_model("handmade-5m")
    save_file({f"layer.{n}": torch.zeros(3) for n in range(9)}, tmp_path / "other.safetensors")
    with pytest.raises(
        InputError, match=r"fit a part of the network, such as body.*found at most 0 of.*layer.0 \(3,\)"
    ):
        load_pretrained(network, tmp_path / "other.safetensors")
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match="expected tensors that torch saved, or safetensors"):
        load_pretrained(network, tmp_path / "broken.pth")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="expected tensors by name, found list"):
        load_pretrained(network, tmp_path / "list.pt")
    with pytest.raises(InputError, match="no such weights file"):
        load_pretrained(network, tmp_path / "none.pth")
