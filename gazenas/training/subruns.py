"""Fine-tunings that are parts of larger work: a fold of a protocol, a seed of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gazenas.data.dataset import GazeFolder
from gazenas.models.zoo import GazeModel
from gazenas.training.finetuning import FinetuneRecipe, Finetuning
from gazenas.training.job import Job, Progress
from gazenas.training.run_folder import RunFolder
from gazenas.training.signals import Interruption

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Surroundings:
    """Where and how the parts run: output folder, device, loader processes, seed, progress, what stops them, minutes between checkpoints."""

    out: Path
    device: str
    workers: int
    seed: int
    progress: Progress
    interruption: Interruption
    save_minutes: float


@dataclass(frozen=True)
class Run:
    """One part.

    Attributes:
        path: its run folder.
        verb: what it is a part of.
        build: makes the network to begin with.
        recipe: how it trains.
        config: what must not change between a beginning and its end.
    """

    path: Path
    verb: str
    build: Callable[[], GazeModel]
    recipe: FinetuneRecipe
    config: dict[str, Any]


def finetune(
    part: Run, folder: GazeFolder, surroundings: Surroundings, finish: Callable[[RunFolder, Floats], object]
) -> Floats:
    """Trains on ``train``, going on with what is there, and predicts ``test``.

    Args:
        part: what to train.
        folder: the data; its splits are left as they are.
        surroundings: where and how.
        finish: given the run folder and the predictions while the folder is still locked.

    Returns:
        Angles in radians, ``(N, 2)``, of the test images in order.

    Raises:
        StoppedError: after a signal, everything saved.
    """
    with RunFolder(part.path, part.verb, resume=True) as run:
        torch.manual_seed(surroundings.seed)
        own = replace(folder, splits=dict(folder.splits))
        job = Job(own, run, surroundings.seed, surroundings.device, surroundings.workers, surroundings.progress)
        job.interruption, job.save_minutes = surroundings.interruption, surroundings.save_minutes
        tuning = Finetuning(part.recipe, part.build(), job)
        run.resolve_config(part.config)
        state, story = run.load_checkpoint()
        if state is not None:
            tuning.load_state(state)
            job.say(f"{part.path.name}: {story}, epoch {tuning.clock.epoch + 1}")
        predictions = tuning.predict(tuning.run(), "test")
        finish(run, predictions)
    return predictions
