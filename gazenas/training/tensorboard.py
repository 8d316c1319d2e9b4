"""Curves of a run for TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboardX import SummaryWriter


class TensorBoardEvents:
    """Writes the columns of ``metrics.csv`` as scalars, a step an epoch, counted from 1; a follower of
    ``gazenas.training.job``.

    The folder holds one file, of all epochs: a run that is gone on with writes it anew. Training and validation loss
    are ``loss/training`` and ``loss/validation``, errors ``error/...``, everything else ``run/...``. Use it in a
    ``with`` block.

    Args:
        folder: for the file; made where absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: SummaryWriter | None = None
        self.written = 0

    def __enter__(self) -> TensorBoardEvents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.writer is not None:
            self.writer.close()

    def epochs(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes those that were not written yet."""
        if self.writer is None:
            for old in self.folder.glob("events.out.tfevents.*"):
                old.unlink()
            self.writer = SummaryWriter(str(self.folder))
        for row in rows[self.written :]:
            for column, value in row.items():
                if column != "epoch" and isinstance(value, int | float) and math.isfinite(value):
                    self.writer.add_scalar(_tag(column), value, row["epoch"] + 1)
        self.written = len(rows)
        self.writer.flush()

    def say(self, text: str) -> None:
        """Words are no curve."""

    def end(self, summary: Mapping[str, Any]) -> None:
        """Everything is written."""


def _tag(column: str) -> str:
    """The name of a curve; what is alike stands together."""
    if column.endswith("_loss"):
        return {"val": "loss/validation", "teacher": "loss/teacher"}.get(column.split("_")[-2], "loss/training")
    return f"error/{column}" if column.startswith("val_error") else f"run/{column}"
