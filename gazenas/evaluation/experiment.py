"""Several trainings, each in a run folder of its own and gone on with where it stopped, and their errors side by
side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gazenas.data.dataset import GazeFolder
from gazenas.errors import InputError
from gazenas.evaluation.verb_processes import VerbError
from gazenas.files import read_json, write_json
from gazenas.models.zoo import GazeModel
from gazenas.tasks.task import UNITS
from gazenas.training.finetuning import FinetuneRecipe, Finetuning
from gazenas.training.job import Job, Progress
from gazenas.training.run_folder import RunFolder
from gazenas.training.signals import Interruption

Floats = NDArray[np.float32]
Record = dict[str, Any]
DEGREES = UNITS["deg"][0]


@dataclass(frozen=True)
class Trial:
    """One training of an experiment.

    Attributes:
        name: of what is trained; trials of one name differ in their seeds.
        seed: of everything drawn.
        path: its run folder.
        train: trains, going on with what is in the folder, and writes ``record`` last.
        record: name of the JSON file in the folder that says that it is finished, and what was measured.
        fixed: entries that ``record`` must have, such as hashes of the images.
    """

    name: str
    seed: int
    path: Path
    train: Callable[[], object]
    record: str = "summary.json"
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def is_finished(self) -> bool:
        """Whether its record is there.

        Raises:
            InputError: where it was finished with other images or settings, naming those that differ.
        """
        if not (self.path / self.record).exists():
            return False
        found = self.read()
        changed = [
            f"{key} was {found.get(key)!r}, is {value!r}"
            for key, value in self.fixed.items()
            if found.get(key) != value
        ]
        if changed:
            raise InputError(
                f"{self.path}: was finished with other images or settings: {'; '.join(changed)}; use another --out"
            )
        return True

    def read(self) -> Record:
        """Its record.

        Raises:
            InputError: where it is absent.
        """
        return read_json(self.path / self.record)


def keep_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Records at ``path`` what must stay the same from an experiment's first trial to its last.

    Raises:
        InputError: where others are recorded there, naming those that differ.
    """
    if not path.exists():
        write_json(path, settings)
        return
    found = read_json(path)
    if "split_seed" in settings:  # older ones drew people by the seed of everything
        found.setdefault("split_seed", found.get("seed"))
    changed = [
        f"{key} was {found.get(key)!r}, is {settings.get(key)!r}"
        for key in sorted({*found, *settings})
        if found.get(key) != settings.get(key)
    ]
    if changed:
        raise InputError(f"{path.parent}: was begun with other settings: {'; '.join(changed)}; use another --out")


def run_trials(
    trials: Sequence[Trial],
    *,
    report: Callable[[list[Trial]], object] = lambda finished: None,
    jobs: int = 1,
    failed: Callable[[VerbError], object] | None = None,
) -> list[Trial]:
    """Does the trials that are not finished.

    Args:
        trials: in the order of every table.
        report: given all that are finished so far, in that order, after each; tables and pictures are made of these.
        jobs: how many at once; more than one is for trials that run verbs in processes of their own.
        failed: told of a trial whose verb ended badly, and the others go on; without it the first ends the experiment.

    Returns:
        The finished trials.

    Raises:
        InputError: where one was finished with other images or settings, before anything is trained.
        StoppedError: after a signal, everything saved.
        VerbError: where a verb ended badly and nobody wants to be told.
    """
    finished = [trial.is_finished() for trial in trials]
    left = [number for number, done in enumerate(finished) if not done]
    if any(finished):
        report([trial for trial, done in zip(trials, finished, strict=True) if done])
    for number, error in _train(trials, left, jobs):
        if error is None:
            finished[number] = True
            report([trial for trial, done in zip(trials, finished, strict=True) if done])
        elif failed is None:
            raise error
        else:
            failed(error)
    return [trial for trial, done in zip(trials, finished, strict=True) if done]


def _train(trials: Sequence[Trial], left: Sequence[int], jobs: int) -> Iterator[tuple[int, VerbError | None]]:
    """Trains trials by their numbers; as each ends, its number and how it failed."""

    def one(number: int) -> tuple[int, VerbError | None]:
        try:
            trials[number].train()
        except VerbError as error:
            return number, error
        return number, None

    if jobs == 1:  # in this thread, which alone may handle signals
        yield from map(one, left)
        return
    with ThreadPoolExecutor(jobs) as pool:
        for ended in as_completed([pool.submit(one, number) for number in left]):
            yield ended.result()


@dataclass(frozen=True)
class ErrorRow:
    """Errors of one name over seeds.

    Attributes:
        name: of what was trained.
        errors: in degrees, by seed; None in place of a seed for what was not trained here.
        means: over seeds, of other numbers of the records.
        sign: of the errors' unit.
    """

    name: str
    errors: Mapping[int | None, float]
    means: Mapping[str, float]
    sign: str = DEGREES

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(list(self.errors.values())))

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over seeds; None for fewer than two."""
        return float(np.std(list(self.errors.values()), ddof=1)) if len(self.errors) > 1 else None

    def above(self, base: ErrorRow) -> float | None:
        """Mean difference to another row's error of the same seed; None where they share no seed."""
        shared = [error - base.errors[seed] for seed, error in self.errors.items() if seed in base.errors]
        return float(np.mean(shared)) if shared else None

    def above_cell(self, base: ErrorRow) -> str:
        """``above`` for a table: empty for the row itself, and where they share no seed yet."""
        above = None if base is self else self.above(base)
        return "" if above is None else f"{above:+.2f}{self.sign}"

    def cells(self) -> list[str]:
        """Mean, deviation, and each seed's error, for a table."""
        spread = "one seed" if self.deviation is None else f"{self.deviation:.2f}{self.sign}"
        return [f"{self.mean:.2f}{self.sign}", spread, " ".join(f"{error:.2f}" for error in self.errors.values())]


def error_table(
    records: Sequence[Mapping[str, Any]],
    *,
    name: str = "name",
    error: str = "error_deg",
    means: Sequence[str] = (),
    sign: str = DEGREES,
) -> dict[str, ErrorRow]:
    """A row for every name, in the order of the records.

    Args:
        records: one a trial, each with ``seed`` and what the others say.
        name: entry that says what was trained.
        error: entry with an error in degrees.
        means: entries whose means over seeds are wanted.
        sign: of the errors' unit.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault(record[name], []).append(record)
    return {
        key: ErrorRow(
            key,
            {record["seed"]: record[error] for record in own},
            {number: float(np.mean([record[number] for record in own])) for number in means},
            sign,
        )
        for key, own in groups.items()
    }


@dataclass(frozen=True)
class TrainingOptions:
    """What may differ between a training's beginning and its end: device, loader processes, minutes between
    checkpoints, where progress goes, and what stops it."""

    device: str
    workers: int
    save_minutes: float
    progress: Progress
    interruption: Interruption


def finetune(
    path: Path,
    folder: GazeFolder,
    build: Callable[[], GazeModel],
    recipe: FinetuneRecipe,
    *,
    verb: str,
    seed: int,
    config: dict[str, Any],
    options: TrainingOptions,
    finish: Callable[[RunFolder, Floats], object],
) -> None:
    """Fine-tunes on ``train``, going on with what is there, and predicts ``test``.

    Args:
        path: run folder.
        folder: the data; its splits are left as they are.
        build: makes the network to begin with.
        recipe: how to train.
        verb: whose run folder it is.
        seed: of everything drawn.
        config: what must not change between a beginning and its end.
        options: what may.
        finish: given the run folder and angles in radians, ``(N, 2)``, of the test images in order, while the folder is
            locked.

    Raises:
        InputError: where the recipe or the data does not fit, or the run was begun otherwise.
        StoppedError: after a signal, everything saved.
    """
    with RunFolder(path, verb, resume=True) as run:
        torch.manual_seed(seed)
        own = replace(folder, splits=dict(folder.splits))
        job = Job(own, run, seed, options.device, options.workers, options.progress)
        job.interruption, job.save_minutes = options.interruption, options.save_minutes
        tuning = Finetuning(recipe, build(), job)
        run.resolve_config(config)
        state, story = run.load_checkpoint()
        if state is not None:
            tuning.load_state(state)
            job.say(f"{path.name}: {story}, epoch {tuning.clock.epoch + 1}")
        finish(run, tuning.predict(tuning.run(), "test"))
