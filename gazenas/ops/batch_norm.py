"""Batch normalisation that stays fast on maps of few channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

NARROW = 64  # channels from which PyTorch's own kernel is as fast
LANES = 16  # floats that it takes at once; multiples are fast at any width
ROW = 256  # floats a row, where narrow maps are tiled
SMALL = 2**17  # values of a map that is not worth the additional operations


class BatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d``, the same in every respect but time.

    PyTorch normalises ``channels_last`` maps on a CPU pixel by pixel, vectorised over the channels, and takes up to six
    times as long for 15 channels as for 16. In training, several pixels are therefore taken as one row
    of as many times the channels, and their statistics are joined.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``(N, c, h, w)`` to the same shape; running statistics follow in training."""
        pixels = input.numel() // self.num_features
        tile = self._tile(input, pixels)
        if tile == 1:
            return super().forward(input)
        out, mean, variance = _TiledBatchNorm.apply(input, self.weight, self.bias, self.eps, tile)  # type: ignore[no-untyped-call]
        assert self.running_mean is not None, "BatchNorm keeps running statistics"
        assert self.running_var is not None, "BatchNorm keeps running statistics"
        assert self.num_batches_tracked is not None, "BatchNorm keeps running statistics"
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * (pixels / (pixels - 1)), share)
        result: Tensor = out
        return result

    def _tile(self, x: Tensor, pixels: int) -> int:
        channels, tile = self.num_features, 1
        slow = channels < NARROW and channels % LANES and x.numel() >= SMALL
        trains = self.training and torch.is_grad_enabled() and x.dtype == self.weight.dtype
        if slow and trains and x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last):
            while 2 * tile * channels <= ROW and pixels % (2 * tile) == 0:
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
