"""Streams: the maps between blocks, whose channels are shared by everything that writes or reads them.

Every block that writes a stream ends in a batch normalization, and so does the stem. Scaling these by one factor a channel scales the
stream: a channel at zero is zero wherever the stream is read, through residual sums and ReLUs as well.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gazenas.layers.batch_norm import BatchNorm2d
from gazenas.ops.units import scale_


class Stream(nn.Module):
    """The importance factors of a stream's channels.

    Args:
        width: channels.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(width))


class StreamNorm(BatchNorm2d):
    """Batch normalization whose output is scaled by the factors of the stream that it writes.

    Args:
        channels: of the stream.
        stream: shared by all that write it.
    """

    def __init__(self, channels: int, stream: Stream) -> None:
        super().__init__(channels)
        self.stream = stream

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Weight and bias, ``(c,)``, times the stream's factors."""
        return self.weight * self.stream.alpha, self.bias * self.stream.alpha


def closing_norm(channels: int, stream: Stream | None) -> BatchNorm2d:
    """What a block that writes ``stream`` ends in; without importance factors an ordinary batch normalization."""
    return BatchNorm2d(channels) if stream is None else StreamNorm(channels, stream)


def folded(norm: BatchNorm2d) -> BatchNorm2d:
    """The same function as an ordinary batch normalization: the stream's factors are multiplied into weight and bias."""
    if not isinstance(norm, StreamNorm):
        return norm
    plain = BatchNorm2d(norm.num_features).train(norm.training)
    state: dict[str, Any] = {name: value for name, value in norm.state_dict().items() if not name.startswith("stream.")}
    plain.to(norm.weight)
    plain.load_state_dict(state)
    for tensor in (plain.weight, plain.bias):
        scale_(tensor, norm.stream.alpha.detach(), 0)
    return plain
