"""Batch normalization that stays fast on maps of few channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

NARROW = 144  # channels from which PyTorch's own kernel is as fast
LANES = 16  # floats that it takes at once; multiples are fast at any width
ROW = 256  # floats a row, where narrow maps are tiled
LONGEST = 1024  # floats a row, where it takes so many for a multiple of LANES
SMALL = 2**17  # values of a map that is not worth the additional operations


class BatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d``, the same in every respect but time.

    PyTorch normalizes ``channels_last`` maps on a CPU pixel by pixel, vectorized over the channels, and takes about four
    times as long for 15 channels as for 16. In training, several pixels are therefore taken as one row
    of as many times the channels, and their statistics are joined.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``(N, c, h, w)`` to the same shape; running statistics follow in training."""
        if self.training:
            return self.normalize_part(input, 0)
        weight, bias = self.scale_and_shift()
        return F.batch_norm(input, self.running_mean, self.running_var, weight, bias, False, 0.0, self.eps)

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """The factor and the offset of every normalized channel, ``(c,)`` each."""
        return self.weight, self.bias

    def normalize_part(self, x: Tensor, start: int) -> Tensor:
        """Some of the channels, as in training; whoever begins a batch with ``start`` 0 must go on to the last channel.

        Args:
            x: ``(N, n, h, w)``, the channels from ``start`` on.
            start: index of the first of them.
        """
        chosen = slice(start, start + x.shape[1])
        tensors = (*self.scale_and_shift(), self.running_mean, self.running_var)
        weight, bias, mean, variance = (tensor[chosen] for tensor in tensors if tensor is not None)
        assert self.num_batches_tracked is not None, "BatchNorm keeps running statistics"
        if start == 0:
            self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        tile = _tile(x) if torch.is_grad_enabled() else 1
        if tile == 1:
            return F.batch_norm(x, mean, variance, weight, bias, True, share, self.eps)
        out, batch_mean, batch_variance = _TiledBatchNorm.apply(x, weight, bias, self.eps, tile)  # type: ignore[no-untyped-call]
        pixels = x.numel() // x.shape[1]
        with torch.no_grad():
            mean.lerp_(batch_mean, share)
            variance.lerp_(batch_variance * (pixels / (pixels - 1)), share)
        result: Tensor = out
        return result


def _tile(x: Tensor) -> int:
    channels, tile = x.shape[1], 1
    if channels >= NARROW or channels % LANES == 0 or x.numel() < SMALL:
        return tile
    if (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and x.is_contiguous(memory_format=torch.channels_last)
    ):
        pixels = x.numel() // channels
        while pixels % (2 * tile) == 0 and 2 * tile * channels <= (LONGEST if tile * channels % LANES else ROW):
            tile *= 2
    return tile


def _rows(maps: Tensor, tile: int) -> Tensor:
    pixels = maps.permute(0, 2, 3, 1).contiguous()  # no copy of what is channels_last
    return pixels.view(-1, tile * maps.shape[1])


class _TiledBatchNorm(torch.autograd.Function):
    """``tile`` pixels side by side are a row; a channel's statistics are joined from its columns."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, tile: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``(N, c, h, w)`` to the same shape, the batch's means ``(c,)`` and its variances ``(c,)``."""
        rows = _rows(x, tile)
        means, variances = (each.view(tile, -1) for each in torch.batch_norm_update_stats(rows, None, None, 0.0))
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        scale = weight * torch.rsqrt(variance + eps)
        out = torch.empty_like(x, memory_format=torch.channels_last)
        torch.addcmul((bias - mean * scale).repeat(tile), rows, scale.repeat(tile), out=_rows(out, tile))
        context.save_for_backward(x, weight, mean, variance)
        context.eps, context.tile = eps, tile
        context.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor, *unused: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, variance = context.saved_tensors
        eps, tile = context.eps, context.tile
        given, rows = _rows(gradient, tile), _rows(x, tile)
        # In eval mode PyTorch's backward gives the two sums that training needs too, without the input's gradient.
        statistics = mean.repeat(tile), variance.repeat(tile)
        sums = torch.ops.aten.native_batch_norm_backward(
            given, rows, None, *statistics, None, None, False, eps, [False, True, True]
        )
        to_weight, to_bias = (each.view(tile, -1).sum(0) for each in sums[1:])
        deviation = torch.rsqrt(variance + eps)
        pixels = x.numel() // x.shape[1]
        scale = weight * deviation
        slope = -scale * deviation * to_weight / pixels
        offset = -scale * to_bias / pixels - slope * mean
        to_input = torch.empty_like(x, memory_format=torch.channels_last)
        out = _rows(to_input, tile)
        torch.addcmul(offset.repeat(tile), rows, slope.repeat(tile), out=out)
        out.addcmul_(given, scale.repeat(tile))
        return to_input, to_weight, to_bias, None, None
