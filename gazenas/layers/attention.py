"""Attention in which each key counts with a weight of its own."""

from __future__ import annotations

import torch
from torch import Tensor


def gated_attention(query: Tensor, key: Tensor, value: Tensor, gate: Tensor) -> Tensor:
    """Scaled dot-product attention whose softmax weights are multiplied by ``gate`` and renormalized.

    A key with gate 0 is as good as absent, in value and in gradient; with every gate at 0 the result is 0.
    Equals ``softmax(q k^T / sqrt(d) + log gate) v`` without ever taking the logarithm of 0.

    Args:
        query: ``(..., n, d)``, broadcast against the others' batch.
        key: ``(N, m, d)``.
        value: ``(N, m, d)``.
        gate: ``(m,)``, not negative.

    Returns:
        ``(N, n, d)``.
    """
    scores = torch.matmul(query, key.transpose(-2, -1)) * query.shape[-1] ** -0.5
    scores = torch.where(gate > 0, scores, torch.full_like(gate, -torch.inf))
    peak = scores.detach().amax(-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).min)
    weights = torch.exp(scores - peak) * gate
    total = weights.sum(-1, keepdim=True)
    return torch.matmul(weights / torch.where(total > 0, total, torch.ones_like(total)), value)
