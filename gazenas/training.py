"""What a search and a fine-tuning share: where they run, how they report, how they end."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from gazenas.counting import count_macs, count_params
from gazenas.data.loader import Loader
from gazenas.data.split import GazeFolder, GazeSplit
from gazenas.engine import predict
from gazenas.evaluation import Evaluation, evaluate_predictions, head_pose_error, mean_predictor_error
from gazenas.models.network import Network
from gazenas.runs import RunFolder

MEMORY_LIMIT = 2 << 30  # bytes of images that a split may hold in memory
EVALUATION_BATCH = 128
Floats = NDArray[np.float32]


class Progress(Protocol):
    """Where long work reports to."""

    def epoch(self, number: int, total: int, steps: int) -> None:
        """An epoch of ``steps`` steps begins."""
        ...

    def step(self, values: Mapping[str, float]) -> None:
        """A step has been done; its losses."""
        ...

    def say(self, text: str) -> None:
        """Something worth a line of its own."""
        ...


@dataclass
class Job:
    """The surroundings of a training run.

    Attributes:
        folder: the data.
        run: where results go.
        seed: of everything drawn.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        workers: loader processes.
        progress: where to report.
        predictions: by split, of the finished network, once :meth:`conclude` has made them.
    """

    folder: GazeFolder
    run: RunFolder
    seed: int
    device: str
    workers: int
    progress: Progress
    started: float = field(default_factory=time.monotonic)
    predictions: dict[str, Floats] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Tells the person and the log."""
        self.progress.say(text)
        self.run.log(text)

    def split(self, name: str) -> GazeSplit:
        """A split, its images in memory where they are few."""
        self.folder.splits[name] = split = self.folder.split(name).in_memory(MEMORY_LIMIT)
        return split

    def loader(self, name: str, batch_size: int, *, train: bool) -> Loader:
        """Batches of a split for this job's device."""
        return Loader(self.split(name), batch_size, self.seed, train, self.workers, self.device)

    def validate(self, network: Network, name: str = "val") -> Evaluation:
        """Errors of ``network`` on a labelled split."""
        return evaluate_predictions(self.predict(network, name), self.split(name))

    def predict(self, network: Network, name: str) -> Floats:
        """``(N, 2)`` angles of ``network`` for a split in order."""
        return predict(network, self.loader(name, EVALUATION_BATCH, train=False).epoch(0))

    def reference_split(self) -> str:
        """The split on which simple predictors are measured and faces are shown: the test set where it has labels."""
        test = self.folder.splits.get("test")
        return "val" if test is None or test.gaze is None else "test"

    def conclude(self, verb: str, network: Network, extra: Mapping[str, Any]) -> dict[str, Any]:
        """Measures the finished network and writes the summary, and predictions where the test set has no labels."""
        errors: dict[str, float | None] = {}
        for name in [name for name in ("val", "test") if name in self.folder.splits]:
            self.predictions[name] = self.predict(network, name)
            split = self.split(name)
            errors[name] = None if split.gaze is None else evaluate_predictions(self.predictions[name], split).mean
            if name == "test" or split.gaze is None:
                path = self.run.write_predictions(split, self.predictions[name])
                if split.gaze is None:
                    self.say(f"the {name} files carry no labels: no error; predictions are in {path}")
        train, reference = self.split("train"), self.split(self.reference_split())
        summary = {
            "verb": verb,
            "macs": count_macs(network, network.input_size),
            "params": count_params(network),
            "input_size": network.input_size,
            "test_error_deg": errors.get("test"),
            "val_error_deg": errors["val"],
            "mean_predictor_error_deg": mean_predictor_error(train, reference),
            "head_pose_error_deg": head_pose_error(train, reference),
            "reference_split": reference.name,
            "seconds": round(time.monotonic() - self.started, 1),
            "seed": self.seed,
            "fingerprint": network.architecture().fingerprint(),
            "data": {
                "people": {name: len(split.people) for name, split in self.folder.splits.items()},
                "images": {name: len(split) for name, split in self.folder.splits.items()},
                "notes": self.folder.notes,
            },
        } | dict(extra)
        self.run.write_summary(summary)
        return summary


def step_time(step: Callable[[], None], steps: int = 20) -> tuple[float, int]:
    """Seconds a step of ``step`` takes in the mean over ``steps`` after two more, and peak memory in bytes so far."""
    for _ in range(2):
        step()
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    seconds = (time.perf_counter() - begin) / steps
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return seconds, torch.cuda.max_memory_allocated()
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
