"""Streams: the maps between blocks, whose channels are shared by everything that writes or reads them.

Every block that writes a stream ends in a batch normalization, and so does the stem. Scaling these by one factor a
channel scales the
stream: a channel at zero is zero wherever the stream is read, through residual sums and ReLUs as well.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.ops.units import scale_


class Stream(nn.Module):
    """The importance factors of a stream's channels.

    Args:
        width: channels.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(width))


class StreamNorm(nn.BatchNorm2d):
    """Batch normalization whose output is scaled by the factors of the stream that it writes.

    Args:
        channels: of the stream.
        stream: shared by all that write it.
    """

    def __init__(self, channels: int, stream: Stream) -> None:
        super().__init__(channels)
        self.stream = stream

    def forward(self, input: Tensor) -> Tensor:
        """``(N, c, h, w)`` to the same shape; running statistics follow in training."""
        share = 0.0
        if self.training:
            assert self.num_batches_tracked is not None, "BatchNorm keeps running statistics"
            self.num_batches_tracked.add_(1)
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        weight, bias = self.weight * self.stream.alpha, self.bias * self.stream.alpha
        own = self.training or self.running_mean is None  # as torch has it
        return F.batch_norm(input, self.running_mean, self.running_var, weight, bias, own, share, self.eps)


def channel_scale(norm: nn.BatchNorm2d) -> Tensor:
    """``(c,)``: by what ``norm`` multiplies normalized channels, the factors of its stream included."""
    return norm.weight * norm.stream.alpha if isinstance(norm, StreamNorm) else norm.weight


def closing_norm(channels: int, stream: Stream | None) -> nn.BatchNorm2d:
    """What a block that writes ``stream`` ends in; without importance factors an ordinary batch normalization."""
    return nn.BatchNorm2d(channels) if stream is None else StreamNorm(channels, stream)


def folded(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """The same function as an ordinary batch normalization: the stream's factors are multiplied into weight and
    bias."""
    if not isinstance(norm, StreamNorm):
        return norm
    plain = nn.BatchNorm2d(norm.num_features).train(norm.training)
    state: dict[str, Any] = {name: value for name, value in norm.state_dict().items() if not name.startswith("stream.")}
    plain.to(norm.weight)
    plain.load_state_dict(state)
    for tensor in (plain.weight, plain.bias):
        scale_(tensor, norm.stream.alpha.detach(), 0)
    return plain
