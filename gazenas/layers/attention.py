"""Scaled dot-product attention: of several heads, and with a weight of its own for each key."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F


def multi_head_attention(query: Tensor, key: Tensor, value: Tensor, *, heads: int, dropout: float = 0.0) -> Tensor:
    """``softmax(q k^T / sqrt(d / heads)) v`` head by head (Vaswani et al., NeurIPS 2017), without projections.

    Args:
        query: ``(N, n, d)``.
        key: ``(N, m, d)``.
        value: ``(N, m, d)``.
        heads: must divide d.
        dropout: share of the softmax weights that is left out.

    Returns:
        ``(N, n, d)``.
    """
    query, key, value = (rearrange(x, "b n (h d) -> b h n d", h=heads) for x in (query, key, value))
    weights = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1)
    return rearrange(drop(weights, dropout) @ value, "b h n d -> b n (h d)")


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


def drop(x: Tensor, share: float) -> Tensor:
    """``x`` with a share of it left out and the rest scaled up; ``x`` itself for 0."""
    return F.dropout(x, share) if share else x
