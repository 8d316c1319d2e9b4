"""What every comparator and rival looks like from outside: a module that knows its name, its input size and its
loss."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gazenas.errors import InputError
from gazenas.files import write_json
from gazenas.models.answers import replace_answer
from gazenas.space.architecture import FORMAT, GAZE_TASK
from gazenas.tasks import TASKS
from gazenas.tasks.inputs import INPUTS
from gazenas.tasks.task import Task

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class BaselineSpec:
    """The ``arch.json`` of a comparator.

    Attributes:
        baseline: a name of ``BASELINES``.
        input_size: side of its images in pixels.
        settings: what else its builder was called with, as JSON has it, such as ``{"channels": [16, 22, 44, 88]}``;
            written only where there is something.
        channels: of a pruned one, by the path of each layer that lost some, how many are left: ``[in, out]`` of a
            convolution or a linear layer, ``[channels]`` of a BatchNorm; written only where there is something.
        task: what it predicts, a key of ``TASKS``; written only where it is not gaze.
    """

    baseline: str
    input_size: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    channels: Mapping[str, Sequence[int]] = field(default_factory=dict)
    task: str = GAZE_TASK

    def to_dict(self) -> dict[str, Any]:
        """What is written and hashed."""
        values: dict[str, Any] = {"baseline": self.baseline, "input_size": self.input_size}
        values |= {"settings": dict(self.settings)} if self.settings else {}
        if self.channels:
            values["channels"] = {name: list(left) for name, left in self.channels.items()}
        return values | ({"task": self.task} if self.task != GAZE_TASK else {})

    def fingerprint(self) -> str:
        """A hash of everything."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        """Writes ``arch.json``, beside its target first."""
        write_json(Path(path), {"format": FORMAT, **self.to_dict()})

    @staticmethod
    def from_dict(values: dict[str, Any], where: str) -> BaselineSpec:
        """Reads what :meth:`save` writes.

        Raises:
            InputError: where a key is missing, unknown or of another type.
        """
        name, size, settings = values.get("baseline"), values.get("input_size"), values.get("settings", {})
        channels, task = values.get("channels", {}), values.get("task", GAZE_TASK)
        typed = isinstance(name, str) and type(size) is int and isinstance(settings, dict) and isinstance(task, str)
        optional = {"settings", "channels", "task"}
        if set(values) | optional != {"format", "baseline", "input_size", *optional} or not typed:
            raise InputError(
                f"{where}: expected the keys format, baseline (a name), input_size and, where the comparator takes "
                f"them, settings and task, and where it was pruned, channels, found {values}"
            )
        if not isinstance(channels, dict) or not all(_is_counts(left) for left in channels.values()):
            raise InputError(f"{where}: channels: expected one or two positive whole numbers a layer, found {channels}")
        return BaselineSpec(str(name), values["input_size"], settings, channels, task)


def _is_counts(left: Any) -> bool:
    return isinstance(left, list) and len(left) in (1, 2) and all(type(count) is int and count > 0 for count in left)


class Baseline(nn.Module):
    """A gaze network by name.

    Args:
        spec: its name, input size and settings.
        body: ``(N, 3, S, S)`` images to ``(N, 2)`` pitch and yaw in radians; where it has a loss of its own, in
            training mode to a tuple that begins with the gaze.
        inputs: names of ``gazenas.tasks.inputs.INPUTS`` that the body takes as keywords besides images.
        objective: parts of the loss from the body's output in training mode, images and true labels; the task's loss
            without it.
    """

    def __init__(
        self,
        *,
        spec: BaselineSpec,
        body: nn.Module,
        objective: Callable[[Any, Tensor, Tensor], Losses] | None = None,
        inputs: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        if inputs:
            spec = replace(spec, settings={**spec.settings, "inputs": "-".join(inputs)})
        self.spec, self.body = spec, body
        self.objective, self.inputs = objective, inputs

    @property
    def input_size(self) -> int:
        """Side of the input images in pixels."""
        return self.spec.input_size

    @property
    def input_channels(self) -> int:
        """3: gray images come as three equal colors."""
        return 3

    @property
    def task(self) -> Task:
        """What it predicts."""
        return TASKS[self.spec.task]

    def example_inputs(self, count: int) -> dict[str, Tensor]:
        """Common values of ``inputs`` for so many images: for whoever only has to run the network."""
        return {name: INPUTS[name].examples(count) for name in self.inputs}

    def answer(self, task: Task) -> None:
        """Gives it a fresh last layer for another task, and the loss of that task where its own is of gaze.

        Raises:
            InputError: where its answer is no linear layer, so that it predicts gaze alone.
        """
        change = getattr(self.body, "answer", None)
        if not (change(task) if change is not None else replace_answer(self.body, task)):
            raise InputError(f"{self.spec.baseline}: predicts gaze alone, expected it for the task {task.name}")
        self.spec = replace(self.spec, task=task.name)

    def forward(self, images: Tensor, **more: Tensor) -> Any:
        """``(N, 3, S, S)``, and each of ``inputs`` by name, to ``(N, 2)`` pitch and yaw in radians; in training mode to
        what ``objective`` takes.

        Raises:
            ValueError: where an input lacks, or is none of the network's.
        """
        if set(more) != set(self.inputs):
            raise ValueError(
                f"{self.spec.baseline}: expected {' and '.join(self.inputs) or 'nothing'} besides images, found "
                f"{' and '.join(more) or 'nothing'}"
            )
        return self.body(images, **more)

    def architecture(self) -> BaselineSpec:
        """Its name, input size and settings."""
        return self.spec
