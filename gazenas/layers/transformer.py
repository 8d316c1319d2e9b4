"""A post-norm transformer encoder whose positions are added to queries and keys only, as in DETR."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward layer, each added to its input and normalized after.

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
        placed = tokens + positions
        query, key, value = (
            rearrange(x, "b n (h d) -> b h n d", h=self.heads)
            for x in (self.query(placed), self.key(placed), self.value(tokens))
        )
        scores = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1)
        seen = self.out(rearrange(self._drop(scores) @ value, "b h n d -> b n (h d)"))
        tokens = self.attention_norm(tokens + self._drop(seen))
        hidden = self.lower(self._drop(F.relu(self.lift(tokens))))
        encoded: Tensor = self.norm(tokens + self._drop(hidden))
        return encoded

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x
