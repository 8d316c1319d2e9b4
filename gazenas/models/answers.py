"""The last layer of a network, made for its task."""

from __future__ import annotations

from torch import nn

from gazenas.layers.linear import FullPrecisionLinear, StandardizedLinear
from gazenas.tasks.task import Task


def answer_layer(features: int, task: Task) -> FullPrecisionLinear:
    """A fresh linear layer from so many features to a task's outputs."""
    layer = StandardizedLinear if task.standardized else FullPrecisionLinear
    return layer(features, len(task.outputs))


def replace_answer(holder: nn.Module, task: Task) -> bool:
    """Gives a module whose ``gaze`` is a linear layer, or ends in one, a fresh one for a task; whether it has such a
    layer."""
    last = getattr(holder, "gaze", None)
    if isinstance(last, nn.Sequential) and len(last) and isinstance(last[-1], FullPrecisionLinear):
        last[-1] = answer_layer(last[-1].in_features, task).to(last[-1].weight)
        return True
    if isinstance(last, FullPrecisionLinear):
        holder.gaze = answer_layer(last.in_features, task).to(last.weight)
        return True
    return False
