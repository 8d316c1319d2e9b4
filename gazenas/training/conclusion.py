"""The end of a training: the finished network measured on everybody who was held out, and the run's summary."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.counting import count_macs, count_params
from gazenas.data.people import merged
from gazenas.models.zoo import GazeModel
from gazenas.tasks.gaze import GAZE
from gazenas.training.trainer import Trainer


@dataclass(frozen=True)
class Conclusion:
    """What is known of a finished run.

    Attributes:
        summary: entries of ``summary.json``.
        predictions: ``(N, outputs)`` of the finished network, by split.
    """

    summary: dict[str, Any]
    predictions: dict[str, NDArray[np.float32]]


def conclude(trainer: Trainer, verb: str, network: GazeModel, extra: Mapping[str, Any]) -> Conclusion:
    """Measures the finished network and writes the summary, and predictions where the test set has no labels.

    Args:
        trainer: whose :meth:`Trainer.run` gave ``network``.
        verb: whose run it is.
        network: what is kept, in eval mode.
        extra: further entries of the summary.
    """
    job, task, splits = trainer.job, trainer.task, trainer.job.folder.splits
    predictions: dict[str, NDArray[np.float32]] = {}
    errors: dict[str, float | None] = {}
    for name in [name for name in ("val", "test") if name in splits]:
        predictions[name] = trainer.predict(network, name)
        labels = trainer.labels(name)
        errors[name] = None if labels is None else task.mean_error(predictions[name], labels)
        if name == "test" or labels is None:
            path = job.run.write_predictions(job.split(name), predictions[name], task)
            if labels is None:
                job.say(f"the {name} files carry no labels: no error; predictions are in {path}")
    train, reference = job.split("train"), job.split(job.reference_split(task))
    summary: dict[str, Any] = {
        "verb": verb,
        **({} if task is GAZE else {"task": task.name}),
        "macs": count_macs(network, network.input_size),
        "params": count_params(network),
        "input_size": network.input_size,
        task.key("test_error"): errors.get("test"),
        task.key("val_error"): errors.get("val"),
        **task.reference_errors(train, reference),
        "reference_split": reference.name,
        "seconds": round(time.monotonic() - trainer.clock.started, 1),
        "seed": job.seed,
        "fingerprint": network.architecture().fingerprint(),
        "data": job.data_record(),
    }
    summary |= trainer.summary() | dict(extra)
    if trainer.teacher is not None:
        taught_by = merged(summary.get("began_with") or {}, trainer.teacher.people)
        summary |= {"teacher": trainer.teacher.record(), "began_with": taught_by}
    job.end(summary)
    return Conclusion(summary, predictions)
