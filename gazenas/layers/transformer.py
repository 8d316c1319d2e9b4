"""Post-norm transformer layers (Vaswani et al., NeurIPS 2017): what follows the attention, and an encoder layer as in
DETR."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.layers.attention import drop, multi_head_attention


class PostNorm(Protocol):
    """The modules of a layer that follow its attention."""

    out: nn.Linear
    attention_norm: nn.LayerNorm
    lift: nn.Linear
    lower: nn.Linear
    norm: nn.LayerNorm


def post_norm(layer: PostNorm, tokens: Tensor, seen: Tensor, *, dropout: float = 0.0) -> Tensor:
    """The rest of a transformer layer: a projection of what was seen, then a feed-forward layer, each added and
    normalized after.

    Args:
        layer: holds the modules.
        tokens: ``(..., n, d)``, to which is added.
        seen: ``(N, n, d)``, the attention's.
        dropout: share of activations that is left out.

    Returns:
        ``(N, n, d)``.
    """
    hidden = layer.attention_norm(tokens + drop(layer.out(seen), dropout))
    lifted = drop(F.relu(layer.lift(hidden)), dropout)
    closed: Tensor = layer.norm(hidden + drop(layer.lower(lifted), dropout))
    return closed


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward layer; positions are added to queries and keys only, as in DETR (Carion et al.,
    ECCV 2020).

    Args:
        width: of the tokens.
        heads: must divide ``width``.
        feedforward: units of the hidden layer.
        dropout: share of activations that training leaves out.
    """

    def __init__(self, *, width: int, heads: int, feedforward: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.lift, self.lower = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """``(N, n, d)`` tokens and ``(n, d)`` positions to ``(N, n, d)``."""
        placed, dropout = tokens + positions, self.dropout if self.training else 0.0
        query, key, value = self.query(placed), self.key(placed), self.value(tokens)
        seen = multi_head_attention(query, key, value, heads=self.heads, dropout=dropout)
        return post_norm(self, tokens, seen, dropout=dropout)
