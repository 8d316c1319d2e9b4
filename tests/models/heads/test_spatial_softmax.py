"""Points of attention: what the head reads of maps is where something is, not how strong or how large it is."""

from __future__ import annotations

import pytest
import torch

from gazenas.errors import InputError
from gazenas.models.heads.spatial_softmax import SpatialSoftmaxHead


def test_a_spot_is_answered_by_its_coordinates() -> None:
    """Each point looks at one channel; the answer is the first point's coordinates, from -1 to 1, left to right and top
    to bottom, by brute force."""
    head = SpatialSoftmaxHead(in_channels=[2], sizes=[(5, 9)], points=2).double()
    with torch.no_grad():
        head.heat.weight.copy_(torch.eye(2).reshape(2, 2, 1, 1))
        head.gaze.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0]]))  # all across, then all down
        torch.nn.init.zeros_(head.gaze.bias)
    maps = torch.randn(3, 2, 5, 9, dtype=torch.float64)
    expected = torch.zeros(3, 2, dtype=torch.float64)
    for n in range(3):
        weights = maps[n, 0].exp()
        for row in range(5):
            for column in range(9):
                place = torch.tensor([column / 4 - 1, row / 2 - 1], dtype=torch.float64)
                expected[n] += weights[row, column] / weights.sum() * place
    torch.testing.assert_close(head([maps]), expected)
    brighter = maps + torch.tensor([3.0, -7.0], dtype=torch.float64).reshape(1, 2, 1, 1)
    torch.testing.assert_close(head([brighter]), expected)


def test_higher_resolutions_are_averaged_down() -> None:
    head = SpatialSoftmaxHead(in_channels=[1, 2], sizes=[(8, 8), (4, 4)], points=3)
    low, high = torch.randn(2, 2, 4, 4), torch.randn(2, 1, 4, 4)
    wide = high.repeat_interleave(2, 2).repeat_interleave(2, 3)
    alone = SpatialSoftmaxHead(in_channels=[3], sizes=[(4, 4)], points=3)
    alone.load_state_dict(head.state_dict())
    torch.testing.assert_close(head([wide, low]), alone([torch.cat([high, low], 1)]))
    assert head.maps_read() == [(4, 4), (4, 4)]
    assert head.macs_per_channel() == [3 * 16, 3 * 16]


@pytest.mark.parametrize("points", [0, 1.5])
def test_points_that_are_none(points: int) -> None:
    with pytest.raises(InputError, match=f"points: expected a positive whole number, found {points}"):
        SpatialSoftmaxHead(in_channels=[1], sizes=[(2, 2)], points=points)
