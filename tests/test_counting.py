"""MACs against hand-worked numbers, fvcore, and torch's own counter with attention in sight."""

import pytest
import torch
from torch import nn

from gazenas.counting import count_macs, count_params
from gazenas.models.network import Network
from gazenas.models.zoo import build_supernet
from tests.counters import fvcore_macs, torch_macs


class Attention(nn.Module):
    """A map as tokens, through nn.MultiheadAttention."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2).repeat(1, 1, 4)
        out: torch.Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return out


def test_convolutions_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.Flatten(), nn.Linear(8 * 64, 2)
    )
    assert count_macs(network, 16) == 8 * 8 * 8 * 27 + 8 * 8 * 8 * 25 + 8 * 64 * 2
    assert count_params(network) == 8 * 27 + 8 + 8 * 25 + 8 + 1024 + 2


def test_attention_is_seen_in_eval_mode() -> None:
    tokens, width = 16, 12
    assert count_macs(Attention().eval(), 4) == 4 * tokens * width**2 + 2 * tokens**2 * width


def test_unknown_operation_is_an_error() -> None:
    class Strange(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.matrix_exp(x)

    with pytest.raises(NotImplementedError, match="linalg_matrix_exp"):
        count_macs(Strange(), 4)


@pytest.mark.parametrize("name", ["gazenas_tiny", "gazenas"])
def test_two_other_counters_agree(name: str) -> None:
    network = build_supernet(name).eval()
    image = torch.zeros(1, 3, network.input_size, network.input_size)
    macs = count_macs(network, network.input_size)
    assert torch_macs(network, image) == fvcore_macs(network, image) == macs


def test_the_model_is_left_as_it_was(micro_net: Network) -> None:
    micro_net.train()
    micro_net.stem.eval()
    before = {key: value.clone() for key, value in micro_net.state_dict().items()}
    count_macs(micro_net, 32)
    assert micro_net.training
    assert not micro_net.stem.training
    assert all(torch.equal(before[key], value) for key, value in micro_net.state_dict().items())


def test_parts_by_formula_equal_the_count(any_net: Network) -> None:
    widths, parts = any_net.widths(), any_net.parts()
    for spec in any_net.space.blocks():
        image = torch.zeros(1, spec.in_channels, 32 // spec.reduction, 32 // spec.reduction)
        assert parts[spec.name].macs(widths) == torch_macs(any_net.blocks()[spec.name].eval(), image)
    assert parts["stem"].macs(widths) == torch_macs(any_net.stem.eval(), torch.zeros(1, 3, 32, 32))
