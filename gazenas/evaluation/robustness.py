"""How much a network's error grows where the face lies a little off in its patch.

A landmark finder never puts the patch exactly where training did.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from gazenas.data.augmentation import Changes, augment
from gazenas.data.dataset import GazeSplit
from gazenas.data.loader import normalize
from gazenas.gaze import angular_error
from gazenas.models.zoo import GazeModel

_SHIFT, _SCALE, _ROLL = 0.02, 0.05, math.radians(3)
_BATCH = 128
# By name, the directions of a change: rows and columns as shares of the side, factor, radians.
PATCH_CHANGES: dict[str, list[tuple[float, float, float, float]]] = {
    "as it is": [(0, 0, 1, 0)],
    "shift 2%": [(_SHIFT, 0, 1, 0), (-_SHIFT, 0, 1, 0), (0, _SHIFT, 1, 0), (0, -_SHIFT, 1, 0)],
    "scale 5%": [(0, 0, 1 + _SCALE, 0), (0, 0, 1 - _SCALE, 0)],
    "roll 3 degrees": [(0, 0, 1, _ROLL), (0, 0, 1, -_ROLL)],
}


def worst_error(network: GazeModel, split: GazeSplit, change: str) -> float:
    """The largest mean error in degrees over the directions of a change.

    Args:
        network: in eval mode.
        split: labeled images of the network's size.
        change: a key of ``PATCH_CHANGES``; the true gaze rolls along with a rolled image.
    """
    return max(_mean_error(network, split, direction) for direction in PATCH_CHANGES[change])


@torch.inference_mode()
def _mean_error(network: GazeModel, split: GazeSplit, direction: tuple[float, float, float, float]) -> float:
    """Mean error in degrees with every image changed alike."""
    rows_share, columns_share, factor, radians = direction
    assert split.gaze is not None, f"split {split.name} has no labels"
    errors = []
    for begin in range(0, len(split), _BATCH):
        rows = np.arange(begin, min(begin + _BATCH, len(split)))
        count, side = len(rows), network.input_size
        changes = Changes(
            torch.zeros(count, dtype=torch.bool),
            torch.ones(count),
            torch.zeros(count),
            shift=side * torch.tensor([rows_share, columns_share]).expand(count, 2),
            roll=torch.full((count,), radians),
            scale=torch.full((count,), factor),
        )
        images = normalize(torch.from_numpy(split.images(rows)))
        images, gaze = augment(images, torch.from_numpy(split.gaze[rows]), changes)
        errors.append(angular_error(network(images).numpy(), gaze.numpy()))
    return float(np.concatenate(errors).mean())
