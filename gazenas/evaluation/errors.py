"""How wrong predictions are, and what the simplest predictors would have reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.data.dataset import GazeSplit
from gazenas.gaze import angular_error

BOOTSTRAP_DRAWS = 2000


@dataclass(frozen=True)
class Evaluation:
    """Errors of predictions on a labeled split, in degrees.

    Attributes:
        errors: ``(N,)`` angular errors.
        mean, median, p95: of ``errors`` over images.
        interval: 95% bootstrap interval of the mean, people drawn with replacement.
        mae_pitch, mae_yaw: mean absolute differences of the angles.
        people: mean error and number of images by person.
    """

    errors: NDArray[np.float32]
    mean: float
    median: float
    p95: float
    interval: tuple[float, float]
    mae_pitch: float
    mae_yaw: float
    people: dict[str, tuple[float, int]]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the errors image by image, for JSON."""
        people = {name: {"mean_deg": mean, "images": count} for name, (mean, count) in self.people.items()}
        return {
            "mean_deg": self.mean,
            "median_deg": self.median,
            "p95_deg": self.p95,
            "interval_95_deg": list(self.interval),
            "mae_pitch_deg": self.mae_pitch,
            "mae_yaw_deg": self.mae_yaw,
            "people": people,
        }


def evaluate_predictions(predictions: NDArray[np.float32], split: GazeSplit) -> Evaluation:
    """Compares ``(N, 2)`` pitch and yaw in radians with a labeled split's."""
    assert split.gaze is not None, f"split {split.name} has no labels"
    errors = angular_error(predictions, split.gaze)
    by_person = [errors[split.person == number] for number in range(len(split.people))]
    sums, counts = np.array([part.sum() for part in by_person]), np.array([len(part) for part in by_person])
    turn = np.abs((predictions - split.gaze + np.pi) % (2 * np.pi) - np.pi)
    return Evaluation(
        errors=errors,
        mean=float(errors.mean()),
        median=float(np.median(errors)),
        p95=float(np.percentile(errors, 95)),
        interval=bootstrap_interval(sums, counts),
        mae_pitch=float(np.rad2deg(turn[:, 0].mean())),
        mae_yaw=float(np.rad2deg(turn[:, 1].mean())),
        people={name: (float(part.mean()), len(part)) for name, part in zip(split.people, by_person, strict=True)},
    )


def bootstrap_interval(sums: NDArray[Any], counts: NDArray[Any]) -> tuple[float, float]:
    """95% interval of the mean over images, people drawn with replacement.

    Args:
        sums: of the errors of each person, ``(P,)``.
        counts: images of each person, ``(P,)``.
    """
    drawn = np.random.default_rng(0).integers(len(counts), size=(BOOTSTRAP_DRAWS, len(counts)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))
