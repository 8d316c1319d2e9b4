"""What everything else must know of a task: what a network answers, its loss, its error, what a changed image does to
its labels, and what simple predictors would reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gazenas.errors import InputError

Floats = NDArray[np.float32]
# Of errors, sign and word; of outputs, the word.
UNITS = {"deg": ("\u00b0", "degrees"), "px": (" px", "pixels"), "cm": (" cm", "centimeters")}
WORDS = {"rad": "radians", "px": "pixels", "cm": "centimeters"}


class Labels(Protocol):
    """What is known of some people's images."""

    def column(self, key: str) -> Floats | None:
        """``(N, ...)`` values by the key that they have in data folders; None where they are unknown."""
        ...

    def known(self) -> list[str]:
        """The keys of everything that is known."""
        ...


@dataclass(frozen=True)
class ReferencePredictor:
    """A simple predictor.

    Attributes:
        title: as tables have it.
        error: its mean error on the second labels, fitted to the first; None where it cannot be known.
    """

    title: str
    error: Callable[[Labels, Labels], float | None]


@dataclass(frozen=True)
class Measure:
    """A further error.

    Attributes:
        title: as tables have it.
        error: its mean over rows, from predictions and true values, both ``(N, outputs)``.
    """

    title: str
    error: Callable[[Floats, Floats], float]


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        name: a key of ``TASKS``; in ``arch.json``, in files, logs and tables.
        outputs: what a network answers, such as ``("pitch", "yaw")``.
        unit: of the outputs and of the loss, a key of ``WORDS``.
        keys: of data folders, whose columns side by side are the labels.
        loss: a scalar from float32 predictions and true values, both ``(N, outputs)``.
        error: of each row, ``(N,)``, from predictions and true values, both ``(N, outputs)``.
        error_name: what that error is called on a picture.
        mirror: ``(N, outputs)`` labels of mirrored images from those of the images; ``side`` in pixels.
        roll: the same for images turned about their middle by ``(N,)`` radians, clockwise as seen.
        place: the same for images scaled about their middle by ``(N,)`` factors, then shifted by ``(N, 2)`` rows and
            columns in pixels.
        error_unit: of ``error``, a key of ``UNITS``; also the end of every word in summaries that stands for an error.
        measures: further errors, by the summary's word without its unit.
        percentiles: of ``error`` over images, besides the median, that an evaluation prints.
        references: simple predictors, by the summary's word without its unit.
        channels: of the images that a network of the search reads: 3, RGB, or 1, gray.
        standardized: whether the last layer's numbers are of mean 0 and deviation 1, and the labels' own mean and
            deviation are applied behind it; for labels far from 0.
        convention: what the outputs mean, for whoever opens an exported file.
    """

    name: str
    outputs: tuple[str, ...]
    unit: str
    keys: tuple[str, ...]
    loss: Callable[[Tensor, Tensor], Tensor]
    error: Callable[[Floats, Floats], Floats]
    error_name: str
    mirror: Callable[[Tensor, int], Tensor]
    roll: Callable[[Tensor, Tensor, int], Tensor]
    place: Callable[[Tensor, Tensor, Tensor, int], Tensor]
    error_unit: str = "deg"
    measures: Mapping[str, Measure] = field(default_factory=dict)
    percentiles: tuple[int, ...] = (95,)
    references: Mapping[str, ReferencePredictor] = field(default_factory=dict)
    channels: int = 3
    standardized: bool = False
    convention: str = ""

    def mean_error(self, predictions: Floats, true: Floats) -> float:
        """Mean over rows of ``error``."""
        return float(self.error(predictions, true).mean())

    def key(self, word: str) -> str:
        """A summary's word for an error, such as ``test_error_deg``."""
        return f"{word}_{self.error_unit}"

    def show(self, value: float | None) -> str:
        """An error for a table."""
        return "not measured" if value is None else f"{value:.2f}{UNITS[self.error_unit][0]}"

    @property
    def error_word(self) -> str:
        """The unit of errors in a sentence."""
        return UNITS[self.error_unit][1]

    def labels(self, known: Labels) -> Floats | None:
        """``(N, outputs)`` labels, or None where some are unknown."""
        return joined_columns(known, self.keys)

    def need(self, known: Labels, where: str) -> Floats:
        """The labels of what must have them.

        Raises:
            InputError: naming what is there in their place.
        """
        labels = self.labels(known)
        if labels is None:
            raise InputError(
                f"{where}: task {self.name} needs {' and '.join(self.keys)}, found {', '.join(known.known()) or 'none'}"
            )
        if labels.shape[1] != len(self.outputs):
            raise InputError(
                f"{where}: task {self.name} has {len(self.outputs)} outputs, found {labels.shape[1]} labels an image"
            )
        return labels

    def reference_errors(self, train: Labels, test: Labels) -> dict[str, float | None]:
        """The error of every simple predictor, by the summary's word."""
        return {self.key(word): each.error(train, test) for word, each in self.references.items()}


def unmoved(labels: Tensor, *changes: Any) -> Tensor:
    """Labels that a change of the image does not touch."""
    return labels


def joined_columns(known: Labels, keys: Sequence[str]) -> Floats | None:
    """Columns side by side, ``(N, ...)``; None where one is unknown."""
    columns = [known.column(key) for key in keys]
    found = [column.reshape(len(column), -1) for column in columns if column is not None]
    if len(found) < len(columns):
        return None
    return found[0] if len(found) == 1 else np.concatenate(found, 1)


def mean_reference(keys: Sequence[str], error: Callable[[Floats, Floats], Floats]) -> ReferencePredictor:
    """Always answering the training mean.

    Args:
        keys: of the task's labels.
        error: of each row.
    """

    def measure(train: Labels, test: Labels) -> float | None:
        known, true = joined_columns(train, keys), joined_columns(test, keys)
        if known is None or true is None:
            return None
        return float(error(np.broadcast_to(known.mean(0), true.shape), true).mean())

    return ReferencePredictor("mean predictor", measure)
