"""Attention against torch's own and against its formula."""

import pytest
import torch

from gazenas.layers.attention import gated_attention, multi_head_attention


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_several_heads_against_torchs(heads: int) -> None:
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(8, heads, bias=False, batch_first=True).double()
    with torch.no_grad():  # no projections: only the attention is left
        theirs.in_proj_weight.copy_(torch.eye(8, dtype=torch.float64).repeat(3, 1))
        theirs.out_proj.weight.copy_(torch.eye(8))
    query, key, value = (torch.randn(3, n, 8, dtype=torch.float64) for n in (5, 6, 6))
    expected, _ = theirs(query, key, value)
    torch.testing.assert_close(multi_head_attention(query, key, value, heads=heads), expected)


def test_dropped_weights_are_of_the_softmax() -> None:
    """Of values that are all 1, the answer is the sum of the weights that are left, scaled up: right in the mean."""
    torch.manual_seed(0)
    query, key, value = torch.randn(64, 32, 8), torch.randn(64, 32, 8), torch.ones(64, 32, 8)
    found = multi_head_attention(query, key, value, heads=2, dropout=0.5)
    assert found.std() > 0.1
    assert found.mean() == pytest.approx(1, abs=0.01)
    exact = multi_head_attention(query, key, value, heads=2)
    torch.testing.assert_close(exact, torch.ones_like(exact))


def test_gated_attention_against_softmax_with_log_gate() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(5, 7, dtype=torch.float64), *torch.randn(2, 3, 4, 7, dtype=torch.float64)
    gate = torch.rand(4, dtype=torch.float64) + 0.1
    expected = (query @ key.transpose(1, 2) / 7**0.5 + gate.log()).softmax(-1) @ value
    torch.testing.assert_close(gated_attention(query, key, value, gate), expected)


def test_a_dead_key_is_as_good_as_absent_even_with_a_huge_score() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 3, 4, 7)
    key[:, 2] *= 1e4
    gate = torch.tensor([0.5, 1.0, 0.0, 2.0], requires_grad=True)
    alive = [0, 1, 3]
    found = gated_attention(query, key, value, gate)
    torch.testing.assert_close(found, gated_attention(query, key[:, alive], value[:, alive], gate[alive]))
    found.sum().backward()
    assert gate.grad is not None
    assert gate.grad.isfinite().all()
    assert gate.grad[2] == 0
