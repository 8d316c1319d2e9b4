"""A linear layer that mixed precision leaves alone."""

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
