"""One test over everything registered: spaces as supernets and subnets, and every head."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gazenas.counting import count_macs
from gazenas.errors import InputError
from gazenas.models.build import full_architecture
from gazenas.models.heads import HEADS
from gazenas.models.heads.mrft import fitted_patches
from gazenas.models.network import Network
from gazenas.models.zoo import build_subnet, build_supernet, load_model, load_space, space_folder
from gazenas.ops.squeeze_excite import SqueezeExcite
from gazenas.search import unit_groups
from gazenas.search.shrinking import shrink
from gazenas.space.parsing import resize_space
from gazenas.space.search_space import SearchSpace
from tests.running import MICRO, MICRO_CHAIN, disturb, thinned

SPACES = sorted(path.stem for path in space_folder().glob("*.yaml"))
MICROS = sorted(str(path) for path in MICRO.parent.glob("*.yaml"))
EVERY = [*SPACES, *MICROS]
HEAD_SETTINGS = {
    "linear": {},
    "flatten": {"hidden": 8},
    "spatial_softmax": {"points": 4},
    "vit": {"grid": 2, "width": 8, "depth": 1, "heads": 2, "feedforward": 2},
    "mrft": {
        "channels": [1, 2, 4],
        "patches": [4, 2, 1],
        "heads": 2,
        "feedforward": 1,
        "hidden": 8,
        "positions": "none",
    },
}


def check(network: Network) -> None:
    """Shape, finite values, and a gradient for every parameter."""
    size = network.input_size
    for module in network.modules():
        if isinstance(module, SqueezeExcite):  # whose few hidden units may all be dead with unlucky fresh weights
            torch.nn.init.ones_(module.squeeze.bias)
    out = network.train()(torch.randn(4, 3, size, size))
    assert out.shape == (4, 2)
    assert out.isfinite().all()
    (out * torch.tensor([1.0, -2.0])).square().sum().backward()
    missing = [
        key
        for key, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert not missing


@pytest.mark.parametrize("name", EVERY, ids=lambda name: Path(name).stem)
def test_supernet(name: str) -> None:
    network = build_supernet(name, input_size=64)
    check(network)
    assert network.architecture() == full_architecture(network.space)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        pytest.param(
            name, share, marks=[pytest.mark.slow] if name in SPACES and (share < 1 or name.endswith("_v1")) else []
        )
        for name in EVERY
        for share in (1.0, 0.5)
    ],
    ids=lambda each: Path(str(each)).stem if isinstance(each, str) else str(each),
)
def test_subnet_with_strict_weights(name: str, share: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_subnet(thinned(resize_space(load_space(name), 64), share))
    check(network)
    network.architecture().save(tmp_path / "arch.json")
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    images = torch.randn(2, 3, 64, 64)
    loaded = load_model(tmp_path)
    assert torch.equal(loaded(images), network.eval()(images))
    assert not loaded.training
    assert count_macs(loaded, 64) == count_macs(network, 64)


@pytest.mark.parametrize("name", EVERY, ids=lambda name: Path(name).stem)
def test_maps_are_as_small_as_the_space_says(name: str) -> None:
    """Sizes seen in a forward pass, of the stem's convolutions and of every block's output."""
    network = build_supernet(name, input_size=64).eval()
    space = network.space
    seen: dict[str, set[tuple[int, ...]]] = {}
    writers = {
        id(network.stem[3 * number + 2]): stream
        for number, stream in enumerate(list(space.streams())[: len(space.stem)])
    }
    writers |= {id(network.blocks()[spec.name]): spec.target for spec in space.blocks()}
    for module in network.modules():
        if id(module) in writers:
            module.register_forward_hook(
                lambda module, given, out: seen.setdefault(writers[id(module)], set()).add(tuple(out.shape[2:]))
            )
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    # What comes from a lower resolution is resized behind its block.
    assert {stream: max(sizes) for stream, sizes in seen.items()} == {
        stream: space.size_at(reduction) for stream, reduction in space.reductions().items()
    }


@pytest.mark.parametrize("kind", HEADS)
def test_every_head(kind: str, micro_space: SearchSpace) -> None:
    check(build_supernet(replace(micro_space, head={"kind": kind, **HEAD_SETTINGS[kind]})))


@pytest.mark.parametrize("kind", HEADS)
def test_channels_that_a_head_reads_leave_without_a_trace(kind: str) -> None:
    """In a chain whose streams are searched; what the last stream's channels cost is what their removal saves."""
    head = {"kind": kind, **HEAD_SETTINGS[kind], **({"channels": [4], "patches": [1]} if kind == "mrft" else {})}
    network = disturb(build_supernet(replace(load_space(MICRO_CHAIN), head=head))).double().eval()
    last = next(group for group in unit_groups(network) if group.name == "stage2.branch1.stream.channel")
    with torch.no_grad():
        last.alpha[2:5] = 0
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    expected, macs, cost = network(images), count_macs(network, 32), int(last.cost("macs")[0])
    shrink(network, 0.0)
    torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-10)
    assert macs - count_macs(network, 32) == 3 * cost


def test_copies(micro_net: Network) -> None:
    images = torch.randn(2, 3, 32, 32)
    expected = micro_net.eval()(images)
    assert torch.equal(copy.deepcopy(micro_net)(images), expected)
    assert torch.equal(pickle.loads(pickle.dumps(micro_net))(images), expected)


def test_wrong_image_size_is_named(micro_net: Network) -> None:
    with pytest.raises(ValueError, match=r"expected images of shape \(N, 3, 32, 32\), found \(1, 3, 64, 64\)"):
        micro_net(torch.zeros(1, 3, 64, 64))


def test_weights_that_do_not_fit(micro_net: Network, micro_space: SearchSpace, tmp_path: Path) -> None:
    save_file({"stem.0.weight": torch.zeros(1)}, tmp_path / "weights.safetensors")
    full_architecture(micro_space).save(tmp_path / "arch.json")
    with pytest.raises(InputError, match="does not fit the architecture: missing"):
        load_model(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"rubbish")
    with pytest.raises(InputError, match="expected safetensors"):
        load_model(tmp_path)
    with pytest.raises(InputError, match="no such run folder"):
        load_model(tmp_path / "absent")


def test_stated_structure_of_the_papers_space() -> None:
    space = load_space("gazenas")
    specs = space.blocks()
    assert sum(".parallel." in spec.name for spec in specs) == 1 + 4 + 7 + 7
    assert sum(".fusion." in spec.name for spec in specs) == 1 + 2 + 5 + 7
    third = [spec.name.split(".", 1)[1] for spec in space.fusion_blocks(2)]
    assert third == [
        "fusion.branch1.from1",
        "fusion.branch1.from2",
        "fusion.branch2.from1",
        "fusion.branch2.from2",
        "fusion.branch3.new",
    ]
    fourth = {spec.name.split(".", 2)[2]: spec.stride for spec in space.fusion_blocks(3)}
    assert fourth == {
        "branch1.from1": 1,
        "branch1.from2": 1,
        "branch2.from1": 2,
        "branch2.from2": 1,
        "branch2.from3": 1,
        "branch3.from2": 2,
        "branch3.from3": 1,
    }


def test_patches_follow_the_input() -> None:
    assert fitted_patches([56, 28, 14], [8, 4, 2]) == [8, 4, 2]
    assert fitted_patches([16, 8, 4], [8, 4, 2]) == [4, 2, 1]
    with pytest.raises(InputError, match="same whole number of patches"):
        fitted_patches([16, 8, 4], [3, 2, 1])


def test_tiny_space_keeps_its_promises() -> None:
    """Tokens 15 to 40% of the MACs, at least 4 x 4 tokens into the head, at most 8% left with every unit gone."""
    network = build_supernet("gazenas_tiny")
    total = count_macs(network, network.input_size)
    parts, widths = network.parts(), network.widths()
    tokens = searchable = 0
    for spec in network.space.blocks():
        extent, operators = parts[spec.name].extent(widths), network.blocks()[spec.name].operators()  # type: ignore[attr-defined]
        searchable += sum(operator.macs(widths[spec.name][name], extent) for name, operator in operators.items())
        searchable += network.blocks()[spec.name].squeeze.macs(extent)  # type: ignore[union-attr]
        tokens += operators["tokens"].macs(widths[spec.name]["tokens"], extent)
    assert 0.15 <= tokens / total <= 0.40
    assert (total - searchable) / total <= 0.08
    assert all(position.shape[0] >= 16 for position in network.head.positions)  # type: ignore[union-attr]


@pytest.mark.parametrize("space", EVERY, ids=lambda name: Path(name).stem)
def test_no_pointwise_convolution_is_strided(space: str) -> None:
    """oneDNN's gradient of its weights corrupts memory on AVX2 machines where channels are few."""
    convolutions = [module for module in build_supernet(space).modules() if isinstance(module, torch.nn.Conv2d)]
    assert not [conv for conv in convolutions if conv.kernel_size == (1, 1) and conv.stride != (1, 1)]
