"""The lightweight transformer in as few products as it can be written in."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.export.widening import conv, hidden_width, norm_affine
from gazenas.ops.tokens import TokenTransformer, TransformerLayer

DENSE = 2**14  # entries of a resize's matrix up to which one product with it is faster than two with those of its sides


class LayerForm(nn.Module):
    """A :class:`TransformerLayer` with the products of its weights taken beforehand, and a key's weight as a summand of
    its score.

    ``softmax(s) * w``, renormalized, is ``softmax(s + log w)``. The logarithm is a constant here, so that 0 is no
    obstacle: such a key's score is minus infinity, and where all weights are 0 nothing is seen at all.

    Args:
        layer: the trained one.
        gate: ``(n,)``, each key's weight, not negative.
        queries: ``(m, d)`` where they are the same for all images, else they are the tokens.
    """

    asked: Tensor
    queries: Tensor | None
    score: Tensor
    seen: Tensor
    lift: Tensor
    lower: Tensor

    def __init__(self, layer: TransformerLayer, gate: Tensor, queries: Tensor | None) -> None:
        super().__init__()
        dtype = gate.dtype
        query, key, value, out, lift, lower = (
            each.weight.detach().double().T
            for each in (layer.query, layer.key, layer.value, layer.out, layer.lift, layer.lower)
        )
        asked = query @ key.T * query.shape[0] ** -0.5
        self.blind = not bool(gate.any())
        self.register_buffer("asked", (asked if queries is None else queries.double() @ asked).to(dtype))
        self.register_buffer("queries", queries)
        self.register_buffer("score", gate.double().log().to(dtype))
        self.register_buffer("seen", (value @ out).to(dtype))
        self.register_buffer("lift", lift.to(dtype))
        self.register_buffer("lower", lower.to(dtype))
        self.attention_norm, self.norm = layer.attention_norm, layer.norm

    def forward(self, tokens: Tensor) -> Tensor:
        """``(N, n, d)`` to ``(N, m, d)``, m = n where the tokens are the queries."""
        queries = tokens if self.queries is None else self.queries
        if self.blind:
            hidden = self.attention_norm(queries.expand(tokens.shape[0], -1, -1))
        else:
            asked = tokens @ self.asked if self.queries is None else self.asked
            weights = (asked @ tokens.transpose(1, 2) + self.score).softmax(-1)
            hidden = self.attention_norm(queries + weights @ tokens @ self.seen)
        closed: Tensor = self.norm(hidden + F.relu(hidden @ self.lift) @ self.lower)
        return closed


class Resize(nn.Module):
    """``F.interpolate`` of square maps, bilinear with ``align_corners=False``, as products with constant matrices.

    Args:
        before, after: sides in pixels.
        dtype: of the maps.
    """

    matrix: Tensor

    def __init__(self, before: int, after: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.before, self.after = before, after
        self.dense = (before * after) ** 2 <= DENSE
        side = side_matrix(before, after)
        self.register_buffer("matrix", (torch.kron(side, side) if self.dense else side).to(dtype))

    def forward(self, maps: Tensor) -> Tensor:
        """``(N, c, before, before)`` to ``(N, c, after, after)``."""
        if self.before == self.after:
            return maps
        if self.dense:
            resized: Tensor = (maps.flatten(2) @ self.matrix).unflatten(2, (self.after, self.after))  # type: ignore[no-untyped-call]
            return resized
        return self.matrix.T @ (maps @ self.matrix)


def side_matrix(before: int, after: int) -> Tensor:
    """``(before, after)`` in float64: a row of pixels times this is the row resized."""
    pixels = torch.eye(before, dtype=torch.float64)[:, None]
    return F.interpolate(pixels, after, mode="linear", align_corners=False)[:, 0]


class TokenForm(nn.Module):
    """A :class:`TokenTransformer` on maps of one size; BatchNorms and coordinates are constants that are added.

    Args:
        path: without importance factors, at least one token.
        side: of the input map in pixels.
        in_channels, out_channels: c and c', rounded up.
    """

    project: Tensor
    position: Tensor

    def __init__(self, path: TokenTransformer, side: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        dtype, tokens, self.grid = path.queries.dtype, path.queries.shape[0], path.grid
        scale, shift = norm_affine(path.project_norm)
        weight = path.project.weight.detach().double().flatten(1) * scale[:, None]
        of_map, of_position = torch.split(weight, [weight.shape[1] - 2, 2], 1)
        self.register_buffer("project", F.pad(of_map, (0, in_channels - of_map.shape[1])).to(dtype))
        self.register_buffer(
            "position", (of_position @ path.coordinates[0].double().flatten(1) + shift[:, None]).to(dtype)
        )
        gate = path.key_weight.detach().abs()
        self.shrink, self.grow = Resize(side, self.grid, dtype), Resize(self.grid, -(-side // path.stride), dtype)
        wide = hidden_width(tokens)  # the projection back does not read the queries that are added
        queries = F.pad(path.queries.detach(), (0, 0, 0, wide - tokens))
        self.encoder, self.decoder = LayerForm(path.encoder, gate, None), LayerForm(path.decoder, gate, queries)
        outer, closing = norm_affine(path.norm)
        restore = path.restore.weight.detach().double() * outer.view(-1, 1, 1, 1)
        self.restore = conv(restore, closing, dtype, (wide, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h / stride, w / stride)``, c and c' rounded up."""
        tokens = self.project @ self.shrink(x).flatten(2) + self.position
        decoded = self.decoder(self.encoder(tokens)).unflatten(2, (self.grid, self.grid))
        # Resize and projection commute. With the projection last, the runtime's convolution adds it to the other paths'
        # sum.
        restored: Tensor = self.restore(self.grow(decoded))
        return restored
