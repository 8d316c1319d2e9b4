"""Errors of shifted, scaled and rolled patches: a network that follows its input by a known rule makes known errors."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gazenas.data.readers import open_data
from gazenas.evaluation.robustness import PATCH_CHANGES, worst_error


class Constant(nn.Module):
    """Always looks one way, whatever it sees."""

    def __init__(self, pitch: float, yaw: float) -> None:
        super().__init__()
        self.input_size = 32
        self.answer = torch.tensor([pitch, yaw])

    def forward(self, images: Tensor) -> Tensor:
        return self.answer.expand(len(images), 2)


def test_a_network_that_sees_nothing_errs_only_by_the_roll_of_the_truth(data_folder: Path) -> None:
    """Shifts and scales leave the truth where it is; a roll turns a gaze to the side up or down by a known angle."""
    split = open_data(data_folder).split("test")
    yaw = 0.4
    split = replace(split, gaze=np.tile(np.array([0.0, yaw], np.float32), (len(split), 1)))
    network = Constant(0.0, yaw)
    found = {change: worst_error(network, split, change) for change in PATCH_CHANGES}  # type: ignore[arg-type]
    assert found["as it is"] == found["shift 2%"] == found["scale 5%"] == pytest.approx(0, abs=1e-3)
    side, depth, roll = math.sin(yaw), math.cos(yaw), math.radians(3)
    turned = math.degrees(math.acos(side * side * math.cos(roll) + depth * depth))
    assert found["roll 3 degrees"] == pytest.approx(turned, abs=1e-3)
