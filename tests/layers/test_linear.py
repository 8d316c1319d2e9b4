"""The last layer that learns numbers of mean 0 and deviation 1."""

from __future__ import annotations

import torch

from gazenas.layers.linear import FullPrecisionLinear, StandardizedLinear


def test_labels_mean_and_deviation_are_applied_behind_it() -> None:
    torch.manual_seed(0)
    layer, labels = StandardizedLinear(4, 3), torch.randn(50, 3) * torch.tensor([10.0, 1, 0]) + 100
    plain = FullPrecisionLinear(4, 3)
    plain.load_state_dict({key: value for key, value in layer.state_dict().items() if key in ("weight", "bias")})
    features = torch.randn(7, 4)
    assert torch.equal(layer(features), plain(features))
    assert layer.is_fresh()
    layer.standardize(labels)
    assert not layer.is_fresh()
    mean, deviation = labels.mean(0), labels.std(0, correction=0)
    expected = plain(features) * torch.tensor([*deviation[:2], 1.0]) + mean
    torch.testing.assert_close(layer(features), expected)
    again = StandardizedLinear(4, 3)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(features), layer(features))
