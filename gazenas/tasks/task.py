"""What training must know of a task: what a network answers, its loss, its error, and what simple predictors would
reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]


class Labels(Protocol):
    """Labels of some people's images, ``(N, 2)`` radians each, or None where they are unknown."""

    @property
    def gaze(self) -> Floats | None:
        """Pitch and yaw of the gaze."""
        ...

    @property
    def head_pose(self) -> Floats | None:
        """Pitch and yaw of the head."""
        ...


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        name: of its loss, in logs and tables.
        outputs: what a network answers, such as ``("pitch", "yaw")``.
        unit: of the outputs and of the loss.
        loss: a scalar from float32 predictions and true values, both ``(N, outputs)``.
        error: of each row in degrees, ``(N,)``, from predictions and true values, both ``(N, outputs)``.
        references: by the summary's word for it, the mean error in degrees on the second labels of a simple predictor
            that was fitted to the first; None where it cannot be known.
    """

    name: str
    outputs: tuple[str, ...]
    unit: str
    loss: Callable[[Tensor, Tensor], Tensor]
    error: Callable[[Floats, Floats], Floats]
    references: Mapping[str, Callable[[Labels, Labels], float | None]]

    def mean_error(self, predictions: Floats, true: Floats) -> float:
        """Mean over rows of ``error``."""
        return float(self.error(predictions, true).mean())
