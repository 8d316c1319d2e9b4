"""Convolutions with channels of zeros added, so that a runtime computes them in whole blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.ops.channels import ALIGNED, BLOCK, round_up


def hidden_width(count: int) -> int:
    """Channels between two convolutions: at least a block, then a multiple of ``ALIGNED``, which keeps the file
    smaller."""
    return max(BLOCK, round_up(count, ALIGNED))


def conv(
    weight: Tensor,
    bias: Tensor | None,
    dtype: torch.dtype,
    channels: tuple[int, int],
    *,
    stride: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """A convolution, padded by half its kernel, whose further channels read nothing and are zero.

    Args:
        weight: ``(c', c, k, k)``, or ``(c, 1, k, k)`` with groups.
        bias: ``(c',)`` or none.
        dtype: of the result.
        channels: read and written, at least c and c'.
        stride: in both directions.
        groups: 1, or as many as channels.
    """
    kernel = weight.shape[-1]
    made = nn.Conv2d(*channels, kernel, stride, kernel // 2, groups=groups, bias=bias is not None, dtype=dtype)
    more_in, more_out = made.weight.shape[1] - weight.shape[1], channels[1] - weight.shape[0]
    with torch.no_grad():
        made.weight.copy_(F.pad(weight, (0, 0, 0, 0, 0, more_in, 0, more_out)))
        if made.bias is not None and bias is not None:
            made.bias.copy_(F.pad(bias, (0, more_out)))
    return made.eval()


def widened(layer: nn.Conv2d, in_channels: int, out_channels: int) -> nn.Conv2d:
    """``layer``, a convolution without groups, reading and writing further channels, which are zero."""
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    return conv(weight, bias, weight.dtype, (in_channels, out_channels), stride=layer.stride[0])


def norm_affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """``(c,)`` and ``(c,)`` in float64: by what a BatchNorm multiplies in eval mode, and what it adds."""
    assert norm.running_mean is not None, "BatchNorm keeps running statistics"
    assert norm.running_var is not None, "BatchNorm keeps running statistics"
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.detach().double() - norm.running_mean.double() * scale
