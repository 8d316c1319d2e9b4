"""Published comparators: their papers' sizes, the same test for all of them, and what is particular to some."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from gazenas.counting import count_macs, count_params
from gazenas.data.loader import normalize
from gazenas.errors import InputError
from gazenas.export.onnx import export_onnx
from gazenas.gaze import angular_error
from gazenas.layers.transformer import EncoderLayer
from gazenas.models.baselines import BASELINES, Baseline
from gazenas.models.baselines.binned import BinnedAngles, binned_losses, weigh_regression
from gazenas.models.baselines.ca_net import GRUStep
from gazenas.models.baselines.face_parts import FaceParts
from gazenas.models.baselines.gaze360 import pinball
from gazenas.models.zoo import build_model, build_subnet, load_model
from tests.counters import fvcore_macs, torch_macs

SMALLEST = {name: 64 if name == "full-face" else 32 for name in BASELINES}
LIGHT = [n for n in BASELINES if n.startswith(("gazecapture", "handmade")) or n in ("gazetr-hybrid", "shufflenetv2")]

UNUSED = {"ca-net": ["body.coarse_step.hidden.weight"]}  # its one step begins at zero


def small(name: str) -> Baseline:
    torch.manual_seed(0)
    network = build_model(name, input_size=SMALLEST[name])
    assert isinstance(network, Baseline)
    return network


@pytest.mark.parametrize("name", BASELINES)
def test_shape_finite_gradients_counts_and_strict_weights(name: str, tmp_path: Path) -> None:
    network = small(name)
    size = network.input_size
    images, gaze = torch.randn(5, 3, size, size), torch.rand(5, 2) - 0.5
    output = network.train()(images)
    parts = network.objective(output, images, gaze) if network.objective else {"gaze": (output - gaze).abs().mean()}
    assert "gaze" in parts
    torch.stack(list(parts.values())).sum().backward()
    lacking = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not lacking
    # Of an odd number of images, so that the signs of an L1 loss cannot cancel.
    silent = [key for key, p in network.named_parameters() if p.grad is not None and not p.grad.abs().sum() > 0]
    assert silent == UNUSED.get(name, [])
    answer = network.eval()(images)
    assert answer.shape == (5, 2)
    assert answer.isfinite().all()
    network.architecture().save(tmp_path / "arch.json")
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, tmp_path / "weights.safetensors")
    loaded = load_model(tmp_path)
    assert torch.equal(loaded(images), answer)
    assert loaded.architecture() == network.architecture()


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "gaze360-7"])
def test_two_other_counters_agree(name: str) -> None:
    network = small(name).eval()
    macs, image = count_macs(network, network.input_size), torch.zeros(1, 3, network.input_size, network.input_size)
    assert torch_macs(network, image) == fvcore_macs(network, image) == macs
    assert count_macs(network.to(memory_format=torch.channels_last), network.input_size) == macs  # as training holds it


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "gazecapture-shuffle" else pytest.mark.slow) for n in BASELINES]
)
def test_exports_and_agrees_to_a_hundredth_of_a_degree(name: str, tmp_path: Path) -> None:
    network = small(name)
    faces = np.random.default_rng(0).integers(0, 256, (9, network.input_size, network.input_size, 3), np.uint8)
    assert export_onnx(network, tmp_path / "gaze.onnx", faces).worst < 0.01


@pytest.mark.parametrize(
    ("name", "size", "params", "macs", "tolerance"),
    [
        ("gazetr-hybrid", 224, 11_420_738, 1_826_383_424, 0.0),
        ("gaze360-7", 224, 14.6e6, 12.78e9, 0.03),
        ("full-face", 448, 196.6e6, 2.99e9, 0.001),
        ("mobilenetv2", 224, 2.23e6, 0.3e9, 0.05),
    ],
)
def test_known_sizes(name: str, size: int, params: float, macs: float, tolerance: float) -> None:
    """GazeTR-Hybrid exactly; the others as their papers and tables of them print."""
    network = build_model(name)
    assert network.input_size == size
    assert abs(count_params(network) - params) <= tolerance * params
    assert abs(count_macs(network, size) - macs) <= tolerance * macs


@pytest.mark.parametrize("name", LIGHT)
def test_copies(name: str) -> None:
    network = small(name).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(copy.deepcopy(network)(images), network(images))
    assert torch.equal(pickle.loads(pickle.dumps(network))(images), network(images))


def test_an_encoder_layer_is_torch_s_without_positions() -> None:
    """The same weights in ``nn.TransformerEncoderLayer`` (post-norm) give the same tokens; positions reach queries
    and keys only."""
    torch.manual_seed(0)
    mine = EncoderLayer(width=12, heads=3, feedforward=20)
    theirs = torch.nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, batch_first=True)
    attention = theirs.self_attn
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([mine.query.weight, mine.key.weight, mine.value.weight]))
        attention.in_proj_bias.copy_(torch.cat([mine.query.bias, mine.key.bias, mine.value.bias]))
        for one, other in (
            (attention.out_proj, mine.out),
            (theirs.linear1, mine.lift),
            (theirs.linear2, mine.lower),
            (theirs.norm1, mine.attention_norm),
            (theirs.norm2, mine.norm),
        ):
            one.load_state_dict(other.state_dict())
    tokens, positions = torch.randn(2, 5, 12), torch.randn(5, 12)
    torch.testing.assert_close(mine(tokens, torch.zeros(5, 12)), theirs(tokens), atol=1e-5, rtol=1e-5)
    placed = tokens + positions
    seen = tokens + attention(placed, placed, tokens, need_weights=False)[0]
    hidden = theirs.norm1(seen)
    expected = theirs.norm2(hidden + theirs.linear2(F.relu(theirs.linear1(hidden))))
    torch.testing.assert_close(mine(tokens, positions), expected, atol=1e-5, rtol=1e-5)


def test_bins_by_hand() -> None:
    """Four bins of 10 degrees: centers -15, -5, 5, 15; an angle falls into the bin around it, the outermost beyond."""
    head = BinnedAngles(in_features=3, angles=2, bins=4, width=10.0)
    assert head.centers.tolist() == [-15.0, -5.0, 5.0, 15.0]
    logits = torch.log(torch.tensor([[[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]]]))
    expected = torch.tensor([[-1.5 - 1.0 + 1.5 + 6.0, -10.5 - 0.5 + 0.5 + 1.5]])
    angles = torch.deg2rad(expected)
    gaze = torch.deg2rad(torch.tensor([[12.0, -40.0]]))
    losses = binned_losses((angles, logits), torch.empty(0), gaze, width=10.0, weight=2.0)
    assert losses["classes"].item() == pytest.approx(-np.log(0.4) - np.log(0.7), rel=1e-5)
    assert losses["gaze"].item() == pytest.approx(2 * ((5 - 12) ** 2 + (-9 + 40) ** 2), rel=1e-4)


def test_three_binned_angles() -> None:
    """Roll beside pitch and yaw, as for head poses."""
    angles, logits = BinnedAngles(in_features=8, angles=3, bins=66, width=3.0)(torch.randn(5, 8))
    assert angles.shape == (5, 3)
    assert logits.shape == (5, 3, 66)


def test_the_quantile_loss_is_least_at_the_quantiles() -> None:
    """Of many draws around a fixed gaze: the best spread is where 10% lie beyond on either side."""
    draws = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0)) * 0.1
    spreads = torch.linspace(0.05, 0.3, 101)
    losses = [
        pinball((torch.zeros_like(draws), torch.full((len(draws), 1), float(s))), draws, draws)["gaze"] for s in spreads
    ]
    best = float(spreads[int(torch.stack(losses).argmin())])
    assert best == pytest.approx(0.1 * 1.2816, abs=0.005)  # the normal distribution's 90% quantile


def test_seven_frames_and_a_still() -> None:
    """Another order of frames is another answer; a still is seven times the same frame."""
    network = small("gaze360-7").eval()
    video = torch.randn(2, 7, 3, 32, 32)
    assert network(video).shape == (2, 2)
    assert (network(video) - network(video.flip(1))).abs().max() > 1e-6
    still = video[:, 0]
    torch.testing.assert_close(network(still), network(still[:, None].repeat(1, 7, 1, 1, 1)))


def test_reconstruction_is_for_training_only() -> None:
    network = small("gazecapture-reconstruction")
    faces = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8))
    gaze, drawn = network.train()(normalize(faces))
    assert drawn.shape == (2, 3, 16, 16)
    assert count_macs(network, 32) == count_macs(small("gazecapture"), 32)
    assert angular_error(gaze.detach().numpy(), gaze.detach().numpy()).max() < 1e-3


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at least 63, found 48"):
        build_model("full-face", input_size=48)
    build_model("gazecapture", input_size=32).architecture().save(tmp_path / "arch.json")
    with pytest.raises(InputError, match="found the comparator gazecapture; see build_model"):
        build_subnet(tmp_path / "arch.json")
    (tmp_path / "arch.json").write_text('{"format": 1, "baseline": "vgg", "input_size": 32}')
    with pytest.raises(InputError, match=r"expected a comparator of gazetr-hybrid.*found 'vgg'"):
        build_model(tmp_path / "arch.json")
    (tmp_path / "arch.json").write_text('{"format": 1, "baseline": "vgg"}')
    with pytest.raises(InputError, match="expected the keys format, baseline"):
        build_model(tmp_path / "arch.json")


HOPENETS = {"hopenet": 23_913_734, "hopenet-cbam": 26_446_326, "hopenet-shufflenetv2": 1_456_554}


@pytest.mark.parametrize("name", HOPENETS)
def test_hopenet_predicts_head_pose(name: str) -> None:
    """Sizes as published: 26.45 M with CBAM; the report's 2.5 M counts ShuffleNetV2's unused 1000 classes as well."""
    network = build_model(name, input_size=32, task="head_pose")
    assert isinstance(network, Baseline)
    assert count_params(network) == HOPENETS[name]
    images, pose = torch.randn(2, 3, 32, 32), torch.rand(2, 3) - 0.5
    assert network.eval()(images).shape == (2, 3)
    assert network.architecture().to_dict()["task"] == "head_pose"
    assert network.objective is not None
    output = network.train()(images)
    once = network.objective(output, images, pose)
    weigh_regression(network, 2.0)
    twice = network.objective(output, images, pose)
    assert torch.equal(once["classes"], twice["classes"])
    torch.testing.assert_close(twice["gaze"], 2 * once["gaze"])


def test_what_cannot_be_had_for_a_task() -> None:
    with pytest.raises(InputError, match="gaze360: predicts gaze alone"):
        build_model("gaze360", input_size=32, task="head_pose")
    with pytest.raises(InputError, match="expected one of gaze, head_pose.*, found 'pose'"):
        build_model("gazecapture", task="pose")
    with pytest.raises(InputError, match="expected a network with binned angles"):
        weigh_regression(build_model("gazecapture"), 2.0)


@pytest.mark.parametrize(
    ("name", "params"), [("squeezenet", 735_321), ("squeezenet@9", 234_921), ("resnet18", 11_189_337)]
)
def test_sizes_of_the_thesis_with_25_outputs(name: str, params: int) -> None:
    network = build_model(name, input_size=64, task="eye_landmarks")
    assert count_params(network) == params
    assert network.eval()(torch.randn(1, 3, 64, 64)).shape == (1, 25)


@pytest.mark.parametrize(
    ("name", "published", "features"),
    [
        ("resnet34", 21_797_672, 512),
        pytest.param("resnet101", 44_549_160, 2048, marks=pytest.mark.slow),
        pytest.param("resnet152", 60_192_808, 2048, marks=pytest.mark.slow),
        ("efficientnet", 5_288_548, 1280),
    ],
)
def test_published_sizes_but_for_the_classes(name: str, published: int, features: int) -> None:
    """As published for ImageNet's 1,000 classes, with two outputs in their place."""
    assert count_params(build_model(name)) == published - (features + 1) * 998


EYES_TOO = {
    "rt-gene": (81_998_210, 1_271_524_352),
    "dilated-net": (3_920_482, 3_133_194_752),
    "ca-net": (29_050_181, 19_671_019_008),
    "itracker": (6_286_274, 1_324_455_808),
}


@pytest.mark.parametrize("name", EYES_TOO)
def test_published_sizes_of_networks_with_eye_crops(name: str) -> None:
    network = build_model(name, input_size=224)
    assert (count_params(network), count_macs(network, 224)) == EYES_TOO[name]


def test_parts_of_a_face() -> None:
    """Each pixel knows its place: crops are what lies around the eyes, a third above the middle and to both sides."""
    rows, columns = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    image = torch.stack([rows, columns, rows])[None]
    face, left, right = FaceParts(side=224, face=(96, 96), eye=(36, 60), eye_width=80 / 224)(image)
    assert (face.shape, left.shape, right.shape) == ((1, 3, 96, 96), (1, 3, 36, 60), (1, 3, 36, 60))
    for eye, column in ((left, 62), (right, 162)):
        assert float(eye[0, 0].mean()) == pytest.approx(80, abs=1)
        assert float(eye[0, 1].mean()) == pytest.approx(column, abs=1)
        assert float(eye[0, 1].max() - eye[0, 1].min()) == pytest.approx(79, abs=2)


def test_a_gru_step_is_torchs() -> None:
    torch.manual_seed(0)
    ours, theirs = GRUStep(8), torch.nn.GRUCell(8, 8)
    state = theirs.state_dict()
    ours.input.load_state_dict({"weight": state["weight_ih"], "bias": state["bias_ih"]})
    ours.hidden.load_state_dict({"weight": state["weight_hh"], "bias": state["bias_hh"]})
    x, h = torch.randn(5, 8), torch.randn(5, 8)
    torch.testing.assert_close(ours(x, h), theirs(x, h))
