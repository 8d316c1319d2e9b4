"""How wrong predictions are, and what the simplest predictors would have reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.data.dataset import GazeSplit
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task

BOOTSTRAP_DRAWS = 2000


@dataclass(frozen=True)
class Evaluation:
    """Errors of predictions on a labeled split, in the unit of the task's errors.

    Attributes:
        task: whose predictions.
        errors: ``(N,)``, the task's error of each image.
        mean, median: of ``errors`` over images.
        percentiles: those of ``errors`` that the task names.
        interval: 95% bootstrap interval of the mean, people drawn with replacement.
        measures: the task's further errors, by its words for them.
        people: mean error and number of images by person.
    """

    task: Task
    errors: NDArray[np.float32]
    mean: float
    median: float
    percentiles: dict[int, float]
    interval: tuple[float, float]
    measures: dict[str, float]
    people: dict[str, tuple[float, int]]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the errors image by image, for JSON."""
        key = self.task.key
        return {
            key("mean"): self.mean,
            key("median"): self.median,
            **{key(f"p{each}"): value for each, value in self.percentiles.items()},
            key("interval_95"): list(self.interval),
            **{key(word): value for word, value in self.measures.items()},
            "people": {name: {key("mean"): mean, "images": count} for name, (mean, count) in self.people.items()},
        }


def evaluate_predictions(predictions: NDArray[np.float32], split: GazeSplit, task: Task = GAZE) -> Evaluation:
    """Compares ``(N, outputs)`` predictions of a task with a labeled split's values."""
    labels = task.labels(split)
    assert labels is not None, f"split {split.name} has no labels"
    errors = task.error(predictions, labels)
    by_person = [errors[split.person == number] for number in range(len(split.people))]
    sums, counts = np.array([part.sum() for part in by_person]), np.array([len(part) for part in by_person])
    return Evaluation(
        task=task,
        errors=errors,
        mean=float(errors.mean()),
        median=float(np.median(errors)),
        percentiles={each: float(np.percentile(errors, each)) for each in task.percentiles},
        interval=bootstrap_interval(sums, counts),
        measures={word: each.error(predictions, labels) for word, each in task.measures.items()},
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
