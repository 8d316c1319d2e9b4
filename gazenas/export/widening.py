"""Convolutions with channels of nothing added, so that their numbers are ones that a runtime likes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 4  # onnxruntime computes a convolution in blocks only where its channels are a multiple of this


def rounded(count: int, multiple: int = CHANNELS) -> int:
    """``count`` rounded up to a multiple."""
    return -(-count // multiple) * multiple


def conv(
    weight: Tensor,
    bias: Tensor | None,
    dtype: torch.dtype,
    in_channels: int,
    out_channels: int,
    *,
    stride: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """A convolution, padded to the same size, whose further channels read nothing and are zero.

    Args:
        weight: ``(c', c, k, k)``, or ``(c, 1, k, k)`` with groups.
        bias: ``(c',)`` or none.
        dtype: of the result.
        in_channels, out_channels: at least c and c'; with groups both are their number.
        stride: in both directions.
        groups: 1, or as many as channels.
    """
    kernel = weight.shape[-1]
    made = nn.Conv2d(
        in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=bias is not None, dtype=dtype
    )
    more_in = made.weight.shape[1] - weight.shape[1]
    more_out = out_channels - weight.shape[0]
    with torch.no_grad():
        made.weight.copy_(F.pad(weight, (0, 0, 0, 0, 0, more_in, 0, more_out)))
        if made.bias is not None and bias is not None:
            made.bias.copy_(F.pad(bias, (0, more_out)))
    return made.eval()


def widened(layer: nn.Conv2d, in_channels: int, out_channels: int) -> nn.Conv2d:
    """``layer``, a convolution without groups, reading and writing more channels, which are zero."""
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    (stride, _) = layer.stride
    return conv(weight, bias, weight.dtype, in_channels, out_channels, stride=stride)


def norm_affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """``(c,)`` and ``(c,)`` in float64: by what a BatchNorm multiplies in eval mode, and what it adds."""
    assert norm.running_mean is not None and norm.running_var is not None, "BatchNorm keeps running statistics"
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.detach().double() - norm.running_mean.double() * scale
