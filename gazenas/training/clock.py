"""How far a training run has come and how long it took, and whether its steps have suddenly become slow."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Clock:
    """Where a training run stands.

    Attributes:
        epoch: being trained, from 0.
        steps: of the optimizer so far.
        epoch_steps: of these in this epoch.
        sums: of the losses of this epoch's steps, by part.
        rows: of ``metrics.csv``, one a finished epoch.
        started: when the run began, by ``time.monotonic``, as if this process had done all that is saved of it.
        begun: the same of the epoch.
    """

    epoch: int = 0
    steps: int = 0
    epoch_steps: int = 0
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    rows: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    begun: float = field(default_factory=time.monotonic)

    def begin_epoch(self) -> None:
        """To be called before each epoch, and before the rest of one."""
        if not self.epoch_steps:
            self.begun = time.monotonic()

    def count(self, losses: Mapping[str, float]) -> None:
        """Counts a step and its losses."""
        self.steps, self.epoch_steps = self.steps + 1, self.epoch_steps + 1
        for name, value in losses.items():
            self.sums[name] += value

    def means(self) -> dict[str, float]:
        """The mean of each part of the loss over this epoch's steps."""
        return {name: value / max(self.epoch_steps, 1) for name, value in self.sums.items()}

    def end_epoch(self, row: dict[str, Any]) -> None:
        """Closes the epoch with its row."""
        self.rows.append(row)
        self.epoch, self.epoch_steps, self.sums = self.epoch + 1, 0, defaultdict(float)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        now = time.monotonic()
        spent = {"run": now - self.started, "epoch": now - self.begun}
        counts = {"epoch": self.epoch, "steps": self.steps, "epoch_steps": self.epoch_steps}
        return counts | {"sums": dict(self.sums), "rows": self.rows, "spent": spent}

    @staticmethod
    def from_state(state: dict[str, Any]) -> Clock:
        """The clock whose :meth:`state` this is."""
        started, begun = (time.monotonic() - state["spent"][what] for what in ("run", "epoch"))
        sums = defaultdict(float, state["sums"])
        return Clock(state["epoch"], state["steps"], state["epoch_steps"], sums, state["rows"], started, begun)


class Straggler:
    """Notices steps that suddenly take ten times as long, as they do where two programs share cores and threads
    wait."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.last = time.monotonic()
        self.said = False

    def begin(self) -> None:
        """An epoch begins: what lies between epochs is no step."""
        self.last = time.monotonic()

    def step(self) -> str:
        """Advice, once, or nothing."""
        now = time.monotonic()
        taken, self.last = now - self.last, now
        usual = float(np.median(self.seconds)) if len(self.seconds) >= 20 else float("inf")
        self.seconds = [*self.seconds[-99:], taken]
        if self.said or taken < 10 * usual or taken < 1:
            return ""
        self.said = True
        return (
            f"a step took {taken:.1f} s, usually {usual:.2f} s: another program may share the cores, which makes "
            f"threads wait for one "
            "another; stop it, or begin this run again with --threads 1"
        )
