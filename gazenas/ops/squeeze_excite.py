"""Squeeze-and-excite (Hu et al., CVPR 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from gazenas.ops.units import Extent, TensorSlice


class SqueezeExcite(nn.Module):
    """Scales each channel by a factor in (0, 1) computed from all channel means.

    Args:
        channels: of the map.
        hidden: units of the layer between.
    """

    def __init__(self, *, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    @property
    def hidden(self) -> int:
        """Units of the layer between."""
        return self.squeeze.weight.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to the same shape."""
        mean = x.mean((2, 3), keepdim=True)
        scaled: Tensor = x * self.excite(self.squeeze(mean).relu()).sigmoid()
        return scaled

    def reads(self) -> tuple[TensorSlice, ...]:
        """The slices that belong to the map's channels: columns of the first layer, rows of the second."""
        return (
            TensorSlice(self.squeeze, "weight", 1),
            TensorSlice(self.excite, "weight", 0),
            TensorSlice(self.excite, "bias", 0),
        )

    def macs(self, extent: Extent) -> int:
        """MACs for one image: two products with the channel means."""
        return 2 * self.hidden * extent.in_channels

    def params(self, extent: Extent) -> int:
        """Weights and biases."""
        return self.macs(extent) + self.hidden + extent.in_channels
