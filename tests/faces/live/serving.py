"""``gazenas collect`` in a process of its own, as a person starts it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType


class Collecting:
    """Runs until the block ends, then ends it by Ctrl-C.

    Attributes:
        url: that it printed.
        said: everything that it printed, once it has ended.
    """

    def __init__(self, out: Path, *more: str) -> None:
        words = [sys.executable, "-u", "-m", "gazenas", "collect", str(out), *more]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        lines = iter(self.process.stdout.readline, "")
        self.url = next(line for line in lines if "http://" in line).split()[-1]
        self.said = ""

    def __enter__(self) -> Collecting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGINT)
        self.said, _ = self.process.communicate(timeout=60)
