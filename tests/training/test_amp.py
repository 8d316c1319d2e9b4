"""Mixed precision: weights and the last layer stay float32, what lies between is bfloat16, and it trains to nearly
the same."""

import copy

import pytest
import torch
from torch import nn

import gazenas
from gazenas.data.loader import Batch
from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.baselines import BASELINES
from gazenas.tasks.gaze import GAZE
from gazenas.training.loop import train_step


def test_last_layer_is_not_rounded() -> None:
    layer, x = FullPrecisionLinear(8, 2), torch.randn(4, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        inside = layer(x)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, nn.functional.linear(x.float(), layer.weight, layer.bias))
    double = FullPrecisionLinear(8, 2).double()
    assert double(x.double()).dtype == torch.float64


@pytest.mark.parametrize("name", ["handmade-9m", *gazenas.list_subnets()])
def test_networks_answer_in_float32(name: str) -> None:
    model = gazenas.build_model(name).eval()
    images = torch.randn(2, 3, model.input_size, model.input_size)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        rounded = model(images)
    with torch.inference_mode():
        exact = model(images)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact), "nothing ran in bfloat16"
    assert torch.allclose(rounded, exact, atol=0.05)


def test_a_step_in_bfloat16_is_nearly_that_of_float32(micro_net: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    size = int(micro_net.input_size)  # type: ignore[arg-type]
    batch = Batch(torch.randn(8, 3, size, size, generator=generator), torch.rand(8, 2, generator=generator), None)  # type: ignore[arg-type]
    ways, losses = {}, {}

    def objective(output: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        return {"gaze": GAZE.loss(output.float(), batch.labels)}

    for amp in ("none", "bf16"):
        network = copy.deepcopy(micro_net)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
        losses[amp] = train_step(network.train(), batch, optimizer, objective, amp=amp)["gaze"]
        assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
        ways[amp] = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    assert losses["none"] != losses["bf16"]
    assert losses["bf16"] == pytest.approx(losses["none"], rel=0.02)
    assert torch.cosine_similarity(ways["none"], ways["bf16"], dim=0) > 0.8  # eight images, a rounded BatchNorm


def test_registered_comparators_end_in_a_full_precision_layer() -> None:
    names = [name for name in BASELINES if "gazetr" in name]
    assert names
    for name in names:
        assert any(isinstance(module, FullPrecisionLinear) for module in gazenas.build_model(name).modules())
