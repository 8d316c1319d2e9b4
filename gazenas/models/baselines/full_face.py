"""FullFace (Zhang et al., "It's Written All Over Your Face", CVPRW 2017): AlexNet's convolutions with learned spatial
weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gazenas.errors import InputError
from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.baselines.baseline import Baseline, BaselineSpec


class FullFace(nn.Module):
    """Every pixel of the last map is weighted by a number that three 1x1 convolutions compute from it.

    The convolutions are AlexNet's in its one-column form (Krizhevsky, 2014).

    Args:
        side: of the last map in pixels.
    """

    def __init__(self, *, side: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.weights = nn.Sequential(
            nn.Conv2d(256, 256, 1), nn.ReLU(), nn.Conv2d(256, 256, 1), nn.ReLU(), nn.Conv2d(256, 1, 1), nn.ReLU()
        )
        nn.init.constant_(self.weights[4].bias, 1.0)  # type: ignore[arg-type]
        self.hidden = nn.Sequential(
            nn.Linear(256 * side * side, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()
        )
        self.gaze = FullPrecisionLinear(4096, 2)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, S, S)`` to ``(N, 2)`` pitch and yaw in radians."""
        maps = self.convolutions(images)
        gaze: Tensor = self.gaze(self.hidden(torch.flatten(maps * self.weights(maps), 1)))
        return gaze


def map_side(input_size: int) -> int:
    """Side of the last map: a convolution of stride 4, three poolings of 3 with stride 2.

    Raises:
        InputError: where nothing would be left.
    """
    side = (input_size + 2 * 2 - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    if side < 1:
        raise InputError(f"full-face: input_size: expected at least 63, found {input_size}")
    return side


def full_face(input_size: int = 448) -> Baseline:
    """196.6 M parameters and 2.99 G MACs at 448, the size that its paper uses."""
    return Baseline(spec=BaselineSpec("full-face", input_size), body=FullFace(side=map_side(input_size)))
