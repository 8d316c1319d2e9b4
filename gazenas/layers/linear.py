"""Linear layers that mixed precision leaves alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FullPrecisionLinear(nn.Linear):
    """``nn.Linear``, but inside autocast it computes in the precision of its weights.

    bfloat16 has eight bits of mantissa: as the last layer of a gaze network it rounds angles by up to 0.11 degrees.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``(..., in_features)`` to ``(..., out_features)``."""
        if not torch.is_autocast_enabled(input.device.type):
            return F.linear(input, self.weight, self.bias)
        with torch.autocast(input.device.type, enabled=False):
            return F.linear(input.to(self.weight.dtype), self.weight, self.bias)


class StandardizedLinear(FullPrecisionLinear):
    """A linear layer whose numbers are of mean 0 and deviation 1, turned into those of the labels behind it.

    ``offset`` and ``scale``, ``(out_features,)``, are buffers: 0 and 1 until :meth:`standardize` has seen labels.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.register_buffer("offset", torch.zeros(out_features))
        self.register_buffer("scale", torch.ones(out_features))

    def forward(self, input: Tensor) -> Tensor:
        """``(..., in_features)`` to ``(..., out_features)``."""
        return super().forward(input) * self.scale + self.offset

    def is_fresh(self) -> bool:
        """Whether it has seen no labels yet."""
        return not bool(self.offset.any()) and bool((self.scale == 1).all())

    @torch.no_grad()
    def standardize(self, labels: Tensor) -> None:
        """Takes mean and deviation of ``(N, out_features)`` labels; a label that never changes keeps a scale of 1."""
        self.offset.copy_(labels.mean(0))
        deviation = labels.std(0, correction=0)
        self.scale.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))
