"""Lightweight transformer (HR-NAS, Ding et al., CVPR 2021): few tokens that see the whole map, searchable one by
one."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.errors import InputError
from gazenas.layers.attention import gated_attention
from gazenas.layers.transformer import post_norm
from gazenas.ops.stream import Stream, closing_norm, folded
from gazenas.ops.units import (
    Convolution,
    Extent,
    TensorSlice,
    Units,
    Widths,
    norm_slices,
    normalized_zero,
    scale_,
)


class TransformerLayer(nn.Module):
    """A post-norm layer whose keys have weights of their own; one head, no biases.

    Args:
        width: of queries, keys, values and the feed-forward's hidden layer.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out, self.lift, self.lower = (
            nn.Linear(width, width, bias=False) for _ in range(6)
        )
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.norm = nn.LayerNorm(width, bias=False)

    def forward(self, queries: Tensor, tokens: Tensor, gate: Tensor) -> Tensor:
        """``queries`` ``(..., n, d)`` look at ``tokens`` ``(N, n, d)``, weighted as keys by ``gate`` ``(n,)``: ``(N,
        n, d)``."""
        seen = gated_attention(self.query(queries), self.key(tokens), self.value(tokens), gate)
        return post_norm(self, queries, seen)


class TokenTransformer(nn.Module):
    """Projects the map to n tokens, encodes them, decodes n learned queries, and projects back.

    Each token is one channel of a ``grid`` x ``grid`` map, so its width is ``grid`` squared. A unit is token i
    together with learned query i; its importance scales the token, its weight as a key in both attentions
    (by absolute value) and its output. In a subnet the weight as a key is an ordinary parameter.

    Args:
        in_channels: c.
        out_channels: c'.
        stride: 1 or 2; the result is resized to the input's size over it.
        widths: ``{"token": n}``; zero is legal.
        importance: whether units carry importance factors (a supernet) or not (a subnet).
        grid: s.
        stream: what is written, where its channels have importance factors.
    """

    channelwise: ClassVar[bool] = False
    coordinates: Tensor

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        stride: int,
        widths: Widths,
        importance: bool,
        grid: int,
        count: Any = 0,
        stream: Stream | None = None,
    ) -> None:
        super().__init__()
        self.stride, self.grid = stride, grid
        self.norm = closing_norm(out_channels, stream)
        tokens, width = widths["token"], grid * grid
        self.register_parameter("alpha", nn.Parameter(torch.ones(tokens)) if importance and tokens else None)
        if not tokens:
            return
        self.project = nn.Conv2d(in_channels + 2, tokens, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(tokens)
        self.encoder, self.decoder = TransformerLayer(width=width), TransformerLayer(width=width)
        self.queries = nn.Parameter(torch.randn(tokens, width))
        self.restore = nn.Conv2d(tokens, out_channels, 1, bias=False)
        if not importance:
            self.key_weight = nn.Parameter(torch.ones(tokens))
        line = torch.linspace(-1, 1, grid)
        rows, columns = torch.meshgrid(line, line, indexing="ij")
        self.register_buffer("coordinates", torch.stack([columns, rows])[None], persistent=False)

    @classmethod
    def full_widths(cls, in_channels: int, *, count: Any, grid: Any) -> dict[str, int]:
        """Tokens at full width.

        Raises:
            InputError: where a setting is out of range.
        """
        for key, value in (("count", count), ("grid", grid)):
            if not isinstance(value, int) or value < 1:
                raise InputError(f"tokens: {key}: expected a positive whole number, found {value!r}")
        return {"token": count}

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h / stride, w / stride)``; ``(1, c', 1, 1)``, a constant, without units."""
        if "project" not in self._modules:
            return self.constant()
        size = (-(-x.shape[2] // self.stride), -(-x.shape[3] // self.stride))
        grid = F.interpolate(x, (self.grid, self.grid), mode="bilinear", align_corners=False)
        # The coordinates are the same for all images, so their part of the projection is added to the maps' part; and
        # all that follows wants the tokens dense.
        of_map, of_position = torch.split(self.project.weight, [x.shape[1], 2], 1)
        projected = F.conv2d(grid, of_map) + F.conv2d(self.coordinates, of_position)
        tokens = self.project_norm(projected).flatten(2).contiguous()
        gate = self.alpha if self.alpha is not None else self.key_weight
        weight = self.restore.weight
        if self.alpha is not None:
            tokens = tokens * self.alpha[:, None]
            weight = weight * self.alpha.view(1, -1, 1, 1)
        tokens = self.encoder(tokens, tokens, gate.abs())
        decoded = self.decoder(self.queries, tokens, gate.abs())
        restored = self.norm(F.conv2d(decoded.unflatten(2, (self.grid, self.grid)), weight))
        return F.interpolate(restored, size, mode="bilinear", align_corners=False)

    def widths(self) -> dict[str, int]:
        """Tokens as they stand."""
        return {"token": self.queries.shape[0] if "project" in self._modules else 0}

    def units(self) -> list[Units]:
        """One group, or none."""
        if self.alpha is None:
            return []
        columns = TensorSlice(self.restore, "weight", 1)
        slices = (
            TensorSlice(self, "alpha", 0),
            TensorSlice(self.project, "weight", 0),
            *norm_slices(self.project_norm),
            TensorSlice(self, "queries", 0),
            columns,
        )
        return [Units("token", "token", self.alpha, slices, columns)]

    def reads(self) -> tuple[TensorSlice, ...]:
        """Columns of the first projection, before those of the coordinates."""
        return (TensorSlice(self.project, "weight", 1),) if "project" in self._modules else ()

    def writes(self) -> tuple[TensorSlice, ...]:
        """Rows of the projection back, and the closing BatchNorm."""
        rows = (TensorSlice(self.restore, "weight", 0),) if "project" in self._modules else ()
        return (*rows, *norm_slices(self.norm))

    def drop_unused(self) -> None:
        """Drops everything but the closing BatchNorm with the last token."""
        if "project" not in self._modules or self.queries.shape[0]:
            return
        for name in ("project", "project_norm", "encoder", "decoder", "restore"):
            del self._modules[name]
        del self.queries, self.coordinates
        self.alpha = None

    def fold(self) -> None:
        """Multiplies the importance factors into the projections; as key weights they become a parameter."""
        self.norm = folded(self.norm)
        if self.alpha is None:
            return
        alpha = self.alpha.detach()
        scale_(self.project_norm.weight, alpha, 0)
        scale_(self.project_norm.bias, alpha, 0)
        scale_(self.restore.weight, alpha, 1)
        self.key_weight = nn.Parameter(alpha.clone())
        self.alpha = None

    def constant(self) -> Tensor:
        """``(1, c', 1, 1)``: what the closing BatchNorm makes of a zero input."""
        return normalized_zero(self.norm)

    @torch.no_grad()
    def deviations(self) -> dict[str, Tensor]:
        """Root mean square of the decoder's normalized output, the same for every token."""
        if self.alpha is None:
            return {}
        return {"token": self.decoder.norm.weight.square().mean().sqrt().expand_as(self.alpha)}

    def macs(self, widths: Widths, extent: Extent) -> int:
        """Both projections, twelve square products a token, and four attention products."""
        tokens, d = widths["token"], self.grid**2
        ends = extent.in_channels + 2 + extent.out_channels
        return tokens * d * ends + 12 * tokens * d * d + 4 * tokens * tokens * d

    def params(self, widths: Widths, extent: Extent) -> int:
        """Shared encoder and decoder, and what each token adds."""
        tokens, d = widths["token"], self.grid**2
        if not tokens:
            return 0
        each = extent.in_channels + 2 + extent.out_channels + d + 3
        return 12 * d * d + 4 * d + 2 * extent.out_channels + tokens * each

    def paper(self, widths: Widths, extent: Extent) -> int:
        """O(n): its difference is what one token makes at the present number."""
        return self.macs(widths, extent)

    def convolutions(self, widths: Widths, extent: Extent) -> list[Convolution] | None:
        """None: it is timed as a whole."""
        return None
