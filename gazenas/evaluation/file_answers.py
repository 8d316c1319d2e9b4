"""What an ONNX file answers for a split."""

from __future__ import annotations

from typing import Any

import numpy as np

from gazenas.data.dataset import GazeSplit
from gazenas.errors import InputError
from gazenas.export.runtime import GazeEstimator
from gazenas.tasks.inputs import INPUTS
from gazenas.tasks.task import Floats
from gazenas.training.loop import EVALUATION_BATCH


def predict_file(estimator: GazeEstimator, split: GazeSplit, file: str, data: str) -> Floats:
    """``(N, outputs)`` for a split in order, with what the file takes besides images.

    Args:
        estimator: of the file.
        split: of images of its size.
        file, data: where both lie, for messages.

    Raises:
        InputError: where the split lacks an input, or nobody knows it.
    """
    unknown = [name for name in estimator.inputs if name not in INPUTS]
    if unknown:
        raise InputError(f"{file}: takes {unknown[0]} besides images, expected some of {', '.join(INPUTS)}")
    given = {name: INPUTS[name].need(split, data) for name in estimator.inputs}
    rows = np.arange(len(split))
    answers = []
    for start in range(0, len(rows), EVALUATION_BATCH):
        part = rows[start : start + EVALUATION_BATCH]
        more: dict[str, Any] = {name: values[part] for name, values in given.items()}
        answers.append(estimator(split.images(part), **more))
    return np.concatenate(answers)
