"""The surroundings of a training run: data, run folder, device, processes, and where it reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gazenas.data.dataset import GazeFolder, GazeSplit
from gazenas.data.loader import Loader
from gazenas.data.people import people_record
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task
from gazenas.training.processes import ALONE, World
from gazenas.training.run_folder import RunFolder
from gazenas.training.signals import Interruption

MEMORY_LIMIT = 2 << 30  # bytes of images that a split may hold in memory


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


class Follower(Protocol):
    """Whoever wants to know how a run comes along, besides the person."""

    def epochs(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of ``metrics.csv``: all of them, after each epoch and as a run begins or is gone on with."""
        ...

    def say(self, text: str) -> None:
        """What the person is told."""
        ...

    def end(self, summary: Mapping[str, Any]) -> None:
        """What ``summary.json`` says of the finished run."""
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
        world: the processes that train together.
        interruption: a signal to stop, looked at after each step.
        save_minutes: between two checkpoints within an epoch.
        followers: who else is told, by the process that writes.
    """

    folder: GazeFolder
    run: RunFolder
    seed: int
    device: str
    workers: int
    progress: Progress
    world: World = ALONE
    interruption: Interruption = field(default_factory=Interruption)
    save_minutes: float = 5.0
    followers: Sequence[Follower] = ()

    def say(self, text: str) -> None:
        """Tells the person and the log."""
        self.progress.say(text)
        self.run.log(text)
        for follower in self.followers:
            follower.say(text)

    def write_rows(self, rows: list[dict[str, Any]]) -> None:
        """Writes ``metrics.csv``, and tells who follows."""
        self.run.write_metrics(rows)
        for follower in self.followers:
            follower.epochs(rows)

    def end(self, summary: Mapping[str, Any]) -> None:
        """Writes ``summary.json``, and tells who follows."""
        self.run.write_summary(summary)
        for follower in self.followers:
            follower.end(summary)

    def split(self, name: str) -> GazeSplit:
        """A split, its images in memory where they are few."""
        self.folder.splits[name] = split = self.folder.split(name).in_memory(MEMORY_LIMIT)
        return split

    def loader(
        self,
        name: str,
        batch_size: int,
        *,
        train: bool,
        task: Task = GAZE,
        channels: int = 3,
        inputs: tuple[str, ...] = (),
    ) -> Loader:
        """Batches of a split for this job's device, with a task's labels, images of so many channels and a network's
        other inputs; of each, this process's share."""
        return Loader(
            self.split(name),
            batch_size,
            self.seed,
            train,
            self.workers,
            self.device,
            rank=self.world.rank,
            processes=self.world.size,
            task=task,
            channels=channels,
            inputs=inputs,
        )

    def data_record(self) -> dict[str, Any]:
        """What ``summary.json`` says of the data: whose they are, how many, and how they were read."""
        splits = self.folder.splits
        return {
            **people_record(self.folder),
            "people": {name: len(split.people) for name, split in splits.items()},
            "images": {name: len(split) for name, split in splits.items()},
            "frame": self.folder.frame,
            "group": self.folder.group,
            "choices": self.folder.choices,
            "notes": self.folder.notes,
        }

    def reference_split(self, task: Task = GAZE) -> str:
        """The split on which simple predictors are measured and faces are shown: the test set where it has a task's
        labels."""
        test = self.folder.splits.get("test")
        if test is not None and (task.labels(test) is not None or "val" not in self.folder.splits):
            return "test"
        return "val"
