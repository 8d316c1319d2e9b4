"""Single weights to zero: shares and thresholds by brute force, scopes by their formulas, what a file gains."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gazenas.compression.weights import apply_masks, lamp_scores, prunable_weights, weight_masks, weight_record
from gazenas.errors import InputError
from gazenas.models.baselines.handmade import handmade


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return handmade(input_size=32, channels=[8, 12, 8])


@pytest.mark.parametrize("amount", [0.1, 0.37, 0.9])
def test_a_share_of_all_weights_goes_the_smallest_first(network: nn.Module, amount: float) -> None:
    values = sorted(
        (abs(number), name, index)
        for name, weight in prunable_weights(network).items()
        for index, number in enumerate(weight.detach().flatten().tolist())
    )
    gone = {(name, index) for _, name, index in values[: round(amount * len(values))]}
    masks = weight_masks(network, scope="global", amount=amount)
    found = {(name, index) for name, mask in masks.items() for index in (~mask).flatten().nonzero().flatten().tolist()}
    assert found == gone
    apply_masks(network, masks)
    record = weight_record(network)
    assert record["zeros"] == len(gone)
    assert record["share_of_zeros"] == pytest.approx(amount, abs=1 / len(values))


def test_every_layer_loses_the_same_share(network: nn.Module) -> None:
    for name, mask in weight_masks(network, scope="layer", amount=0.3).items():
        assert float((~mask).double().mean()) == pytest.approx(0.3, abs=1.5 / mask.numel()), name


def test_lamp_by_its_formula(network: nn.Module) -> None:
    weights = prunable_weights(network)
    for name, scores in lamp_scores(weights).items():
        squares = weights[name].detach().double().square().flatten()
        for index in range(0, len(squares), 37):
            left = squares[squares >= squares[index]].sum()
            assert float(scores.flatten()[index]) == pytest.approx(float(squares[index] / left), rel=1e-9)
        assert float(scores.max()) == pytest.approx(1.0)  # so that no layer loses its last weight


def test_a_threshold(network: nn.Module) -> None:
    before = {name: weight.detach().clone() for name, weight in prunable_weights(network).items()}
    apply_masks(network, weight_masks(network, scope="global", threshold=0.05))
    for name, weight in prunable_weights(network).items():
        expected = torch.where(before[name].abs() > 0.05, before[name], 0.0)
        assert torch.equal(weight.detach(), expected)


def test_a_coded_file_shrinks_and_a_dense_one_does_not(network: nn.Module) -> None:
    before = weight_record(network)
    apply_masks(network, weight_masks(network, scope="global", amount=0.8))
    after = weight_record(network)
    assert after["dense_bytes"] == before["dense_bytes"]
    assert after["coded_bytes"] < 0.4 * before["coded_bytes"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"scope": "each", "amount": 0.5}, "expected one of global, layer, lamp, found 'each'"),
        ({"scope": "global"}, "expected a share between 0 and 1, or a --threshold above 0, found 0 and 0"),
        ({"scope": "global", "amount": 1.0}, "found 1 and 0"),
        ({"scope": "global", "amount": 0.5, "threshold": 0.1}, "found 0.5 and 0.1"),
    ],
)
def test_bad_numbers(network: nn.Module, words: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        weight_masks(network, **words)  # type: ignore[arg-type]
