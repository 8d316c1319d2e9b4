"""Coupled channels of comparators: removing what contributes nothing changes nothing, sums are what is counted, and the
result is saved, loaded and exported like any comparator."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gazenas.compression.coupling import couple
from gazenas.compression.removal import CoupledChannels, magnitude_scores, norm_scale_scores, slope_products
from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.export.onnx import onnx_bytes
from gazenas.export.runtime import GazeEstimator
from gazenas.models.baselines import Baseline, BaselineSpec
from gazenas.models.baselines.handmade import handmade, handmade_mobile
from gazenas.models.zoo import build_model, load_model
from gazenas.training.run_folder import RunFolder

NAMES = {
    "resnet18": 64,
    "mobilenetv2": 64,
    "mobilenetv3": 64,
    "ghostnet": 64,
    "squeezenet": 64,
    "shufflenetv2": 64,
    "gaze360": 64,
    "gazetr-hybrid": 64,
    "gazecapture-shuffle": 64,
    "handmade-9m": 64,
    "handmade-mobile-9m": 64,
}


def shaken(network: nn.Module) -> nn.Module:
    """Statistics and scales off their initial values."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    assert tensor is not None
                    tensor.add_(0.2 * torch.rand(tensor.shape, generator=generator))
    return network.eval()


def silence(channels: CoupledChannels, alive: np.ndarray) -> None:
    """Makes the channels that are to leave zero, in place: the brute-force way to be without them."""
    with torch.no_grad():
        for layer in channels.layers:
            module = channels.network.body.get_submodule(layer.name)
            rows = torch.from_numpy(np.flatnonzero(~alive[layer.out]))
            for tensor in (module.weight, module.bias):
                if isinstance(tensor, Tensor):
                    tensor[rows] = 0


def some(channels: CoupledChannels, share: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    alive = channels.everything()
    for family in channels.families:
        gone = rng.permutation(family)[: int(share * len(family))]
        alive[gone] = False
    return alive


@pytest.mark.parametrize("name", NAMES)
def test_silent_channels_leave_without_a_trace(name: str) -> None:
    torch.manual_seed(0)
    network = shaken(build_model(name, input_size=NAMES[name]))
    channels = CoupledChannels(network)  # type: ignore[arg-type]
    alive = some(channels, 0.4)
    silence(channels, alive)
    pruned = channels.remove(alive)
    size = NAMES[name]
    assert count_macs(pruned, size) == channels.total(alive, "macs") < count_macs(network, size)
    assert count_params(pruned) == channels.total(alive, "params") < count_params(network)
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        before, after = network(x), pruned(x)
    assert float(before.abs().max()) > 1e-3
    assert torch.allclose(after, before, atol=1e-5)


class Branches(nn.Module):
    """Every way for channels to meet: a sum, a product with a gate, a concatenation, flattening."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)
        self.gate, self.side = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)
        self.last = nn.Linear((4 + 2) * 4 * 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        summed = self.one(x) + self.two(x)
        gated = summed * torch.sigmoid(self.gate(summed.mean((2, 3), keepdim=True)))
        joined = torch.cat([gated.relu(), self.side(summed)], 1)
        answer: Tensor = self.last(joined.flatten(1))
        return answer


def branches() -> Baseline:
    torch.manual_seed(0)
    return Baseline(spec=BaselineSpec("branches", 4), body=Branches()).eval()


def test_what_meets_leaves_together() -> None:
    channels = CoupledChannels(branches())
    assert sorted(len(family) for family in channels.families) == [2, 4]
    by_name = {layer.name: layer for layer in channels.layers}
    assert np.array_equal(by_name["one"].out, by_name["two"].out)
    assert np.array_equal(by_name["gate"].into, by_name["gate"].out)
    assert np.array_equal(by_name["last"].into[:64], np.repeat(by_name["one"].out, 16))
    assert np.array_equal(by_name["last"].into[64:], np.repeat(by_name["side"].out, 16))
    assert channels.fixed[by_name["last"].out].all()
    assert channels.fixed[by_name["one"].into].all()


def test_what_is_not_understood_is_not_cut() -> None:
    class Shuffling(Branches):
        def forward(self, x: Tensor) -> Tensor:
            summed = self.one(x) + self.two(x)
            answer: Tensor = self.last(torch.cat([summed.roll(1, 1), self.side(summed)], 1).flatten(1))
            return answer

    coupling = couple(Shuffling(), 4)
    assert coupling.stopped["roll"] == 4
    assert coupling.idle == ["gate"]
    free = {layer.name: bool((~coupling.fixed[layer.out]).any()) for layer in coupling.layers}
    assert free == {"one": False, "two": False, "side": True, "last": False}


def test_layers_of_training_alone_are_refused() -> None:
    with pytest.raises(InputError, match=r"would not fit the pruned others: decoder.layers.0, decoder.layers.2"):
        CoupledChannels(build_model("gazecapture-reconstruction", input_size=64))  # type: ignore[arg-type]


@pytest.mark.parametrize("quantity", ["macs", "params"])
def test_the_choice_is_nearly_the_best_of_all(quantity: str) -> None:
    """Brute force over every set of channels of a small network: nobody under the limit keeps much more score."""
    network = handmade(input_size=16, channels=[4, 4], hidden=3)
    channels = CoupledChannels(network)
    rng = np.random.default_rng(0)
    scores = rng.random(len(channels.fixed)) + 0.1
    free = np.concatenate(channels.families)
    limit = 0.5 * channels.total(channels.everything(), quantity)
    best = 0.0
    for count in range(len(free) + 1):
        for gone in combinations(free, count):
            alive = channels.everything()
            alive[list(gone)] = False
            if all(alive[family].any() for family in channels.families) and channels.total(alive, quantity) <= limit:
                best = max(best, float(scores[free][alive[free]].sum()))
    alive = channels.select(scores, quantity, limit)
    assert channels.total(alive, quantity) <= limit
    assert float(scores[free][alive[free]].sum()) >= 0.9 * best > 0


@pytest.mark.parametrize(("multiple", "least"), [(1, 0.98), (8, 0.9)])
def test_a_budget_is_met_from_below(multiple: int, least: float) -> None:
    network = build_model("handmade-280m", input_size=64)
    channels = CoupledChannels(network)  # type: ignore[arg-type]
    full = count_macs(network, 64)
    for share in (0.8, 0.5, 0.2):
        alive = channels.select(magnitude_scores(channels, 1), "macs", share * full, multiple)
        macs = count_macs(channels.remove(alive), 64)
        assert least * share * full <= macs <= share * full, (share, macs / full)
        left = [int(alive[family].sum()) for family in channels.families]
        assert multiple == 1 or sum(count % 4 == 0 for count in left) > 0.5 * len(left)
    with pytest.raises(InputError, match="with a channel left of everything"):
        channels.select(magnitude_scores(channels, 1), "macs", channels.floor("macs") - 1)


def test_slopes_are_what_the_loss_changes_by() -> None:
    """Against finite differences: everything that makes one class scaled a little."""
    network = branches().double()
    channels = CoupledChannels(network)
    torch.manual_seed(1)
    x, true = torch.randn(3, 3, 4, 4).double(), torch.randn(3, 2).double()

    def loss() -> Tensor:
        return (network(x) - true).square().mean()

    loss().backward()
    slopes = slope_products(channels)
    for family in channels.families:
        for number in family:
            found = []
            for scale in (1 + 1e-5, 1 - 1e-5):
                before = {name: value.clone() for name, value in network.state_dict().items()}
                for layer in channels.layers:
                    rows = torch.from_numpy(np.flatnonzero(layer.out == number))
                    module = network.body.get_submodule(layer.name)
                    module.weight.data[rows] *= scale  # type: ignore[index, operator, union-attr]
                    module.bias.data[rows] *= scale  # type: ignore[index, operator, union-attr]
                found.append(loss().item())
                network.load_state_dict(before)
            assert slopes[number] == pytest.approx((found[0] - found[1]) / 2e-5, rel=1e-3, abs=1e-9)


def test_large_weights_stay() -> None:
    network = handmade(input_size=16, channels=[8, 8])
    channels = CoupledChannels(network)
    first = channels.layers[0]
    with torch.no_grad():
        network.body.get_submodule(first.name).weight[:6].mul_(1e-3)  # type: ignore[index, operator, union-attr]
        network.body.get_submodule(channels.layers[1].name).weight[:6].mul_(1e-3)  # type: ignore[index, operator, union-attr]
    for scores in (magnitude_scores(channels, 1), magnitude_scores(channels, 2), norm_scale_scores(channels)):
        assert scores[first.out[:6]].max() < scores[first.out[6:]].min()
    with pytest.raises(InputError, match="bn_scale: squeezenet has no BatchNorm"):
        norm_scale_scores(CoupledChannels(build_model("squeezenet", input_size=64)))  # type: ignore[arg-type]


def test_a_pruned_comparator_is_saved_loaded_pruned_again_and_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = handmade_mobile(input_size=32, channels=[8, 8, 8])
    for round_ in range(2):
        channels = CoupledChannels(network)
        network = channels.remove(some(channels, 0.3)).eval()
        with RunFolder(tmp_path / f"run{round_}", "prune") as run:
            run.write_network(network)
    read = load_model(tmp_path / "run1")
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        answer = network(x)
        assert torch.equal(read(x), answer)
    assert read.architecture().fingerprint() == network.architecture().fingerprint()
    (tmp_path / "pruned.onnx").write_bytes(onnx_bytes(read))
    found = GazeEstimator(tmp_path / "pruned.onnx").session.run(None, {"images": x.numpy()})[0]
    assert np.allclose(found, answer.numpy(), atol=1e-4)
