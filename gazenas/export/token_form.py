"""The lightweight transformer in as few products as it can be written in."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.export.widening import conv, norm_affine, rounded
from gazenas.ops.tokens import TokenTransformer, TransformerLayer

DENSE = 2**14  # entries of a resize's matrix up to which one product is faster than onnxruntime's Resize


class LayerForm(nn.Module):
    """A :class:`TransformerLayer` with the products of its weights taken beforehand, and a key's weight as a summand of its score.

    ``softmax(s) * w``, renormalized, is ``softmax(s + log w)``; a key of weight 0 has a score of minus infinity, and where all
    weights are 0 nothing is seen at all.

    Args:
        layer: the trained one.
        gate: ``(n,)``, each key's weight, not negative.
        queries: ``(m, d)`` where they are the same for all images, else they are the tokens.
    """

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
        queries = tokens if self.queries is None else self.queries.expand(tokens.shape[0], -1, -1)
        hidden = self.attention_norm(queries if self.blind else queries + self._looked(tokens))
        closed: Tensor = self.norm(hidden + F.relu(hidden @ self.lift) @ self.lower)
        return closed

    def _looked(self, tokens: Tensor) -> Tensor:
        asked = self.asked if self.queries is not None else tokens @ self.asked
        weights = (asked @ tokens.transpose(1, 2) + self.score).softmax(-1)
        return weights @ tokens @ self.seen


class TokenForm(nn.Module):
    """A :class:`TokenTransformer` on maps of one size; BatchNorms and coordinates are constants that are added.

    Args:
        path: without importance factors, at least one token.
        side: of the input map in pixels.
        in_channels, out_channels: c and c', rounded up.
    """

    def __init__(self, path: TokenTransformer, side: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        dtype, tokens, self.grid = path.queries.dtype, path.queries.shape[0], path.grid
        scale, shift = norm_affine(path.project_norm)
        weight = path.project.weight.detach().double().flatten(1) * scale[:, None]
        of_map, of_place = weight.split([path.in_channels, 2], 1)
        self.register_buffer("project", F.pad(of_map, (0, in_channels - path.in_channels)).to(dtype))
        places = path.coordinates[0].double().flatten(1)
        self.register_buffer("place", (of_place @ places + shift[:, None]).to(dtype))
        gate = path.key_weight.detach().abs()
        # Learned queries are made up to a number of channels that a runtime likes; the projection back does not read them.
        queries = F.pad(path.queries.detach(), (0, 0, 0, rounded(tokens) - tokens))
        self.encoder, self.decoder = LayerForm(path.encoder, gate, None), LayerForm(path.decoder, gate, queries)
        outer, closing = norm_affine(path.norm)
        restore = path.restore.weight.detach().double() * outer.view(-1, 1, 1, 1)
        self.restore = conv(restore, closing, dtype, rounded(tokens), out_channels)
        self.side = -(-side // path.stride)
        self.register_buffer("shrinking", resize_matrix(side, self.grid).to(dtype))
        self.register_buffer("growing", resize_matrix(self.grid, self.side).to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h / stride, w / stride)``, c and c' rounded up."""
        grid = _resized(x.flatten(2), self.shrinking, x.shape[2], self.grid)
        tokens = self.project @ grid + self.place
        decoded = self.decoder(self.encoder(tokens))
        maps = _resized(decoded, self.growing, self.grid, self.side).unflatten(2, (self.side, self.side))
        restored: Tensor = self.restore(maps)
        return restored


def _resized(rows: Tensor, matrix: Tensor, before: int, after: int) -> Tensor:
    """``(N, c, before^2)`` to ``(N, c, after^2)``, by a product where the matrix is small."""
    if before == after:
        return rows
    if before**2 * after**2 <= DENSE:
        return rows @ matrix
    maps = F.interpolate(rows.unflatten(2, (before, before)), (after, after), mode="bilinear", align_corners=False)
    return maps.flatten(2)


def resize_matrix(before: int, after: int) -> Tensor:
    """``(before^2, after^2)`` in float64: by it, the rows of a square map's pixels are resized as ``F.interpolate`` does it.

    Bilinear, with ``align_corners=False``.
    """
    pixels = torch.eye(before**2, dtype=torch.float64).view(before**2, 1, before, before)
    return F.interpolate(pixels, (after, after), mode="bilinear", align_corners=False).flatten(1)
