"""Squeeze-and-excite (Hu et al., CVPR 2018)."""

from __future__ import annotations

from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Scales each channel by a factor in (0, 1) computed from all channel means.

    Args:
        channels: of the map.
        reduction: the hidden layer has ``channels // reduction`` units, at least 4.
    """

    def __init__(self, *, channels: int, reduction: int) -> None:
        super().__init__()
        self.reduction = reduction
        self.squeeze = nn.Conv2d(channels, max(channels // reduction, 4), 1)
        self.excite = nn.Conv2d(max(channels // reduction, 4), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to the same shape."""
        mean = x.mean((2, 3), keepdim=True)
        scaled: Tensor = x * self.excite(self.squeeze(mean).relu()).sigmoid()
        return scaled

    def macs(self) -> int:
        """MACs for one image: two products with the channel means."""
        return 2 * self.squeeze.weight.numel()

    def params(self) -> int:
        """Weights and biases."""
        return sum(parameter.numel() for parameter in self.parameters())
