"""Verbs of gazenas in processes of their own, which end when this one is told to."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from gazenas.errors import StoppedError
from gazenas.training.signals import SIGNALS


class VerbError(Exception):
    """A verb in a process of its own ended badly; the message has its command, its status and its log."""


class VerbProcesses:
    """Runs verbs, as many at once as threads call :meth:`run`.

    Inside its ``with`` block, SIGINT and SIGTERM reach every process as SIGTERM, at which a training saves everything,
    and no further process is started.

    Args:
        program: what a verb's arguments are given to.

    Raises:
        StoppedError: at the end of the block, after a signal.
    """

    def __init__(self, program: Sequence[str] = (sys.executable, "-m", "gazenas")) -> None:
        self._program = tuple(program)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> VerbProcesses:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self._before = {number: signal.signal(number, self._stop) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if error is None:
            self._refuse_once_stopped()

    def run(self, words: Sequence[str], log: Path | None = None) -> None:
        """Runs a verb to its end.

        Args:
            words: the verb and its arguments.
            log: file to which its output is added; without it, only what it says of faults is shown.

        Raises:
            VerbError: where it ends with another status than 0.
            StoppedError: after a signal, once the process has ended.
        """
        self._refuse_once_stopped()
        command = [*self._program, *words]
        with ExitStack() as stack:
            out = subprocess.DEVNULL if log is None else stack.enter_context(log.open("ab"))
            process = subprocess.Popen(command, stdout=out, stderr=None if log is None else subprocess.STDOUT)
            self._running.add(process)
            try:
                if self._signal:  # it came between the look at it and the start
                    process.terminate()
                status = process.wait()
            finally:
                self._running.discard(process)
        self._refuse_once_stopped()
        if status:
            see = f"; see {log}" if log else ""
            raise VerbError(f"{shlex.join(command)} ended with status {status}{see}")

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._signal = self._signal or number
        for process in list(self._running):
            process.terminate()

    def _refuse_once_stopped(self) -> None:
        if self._signal:
            raise StoppedError(
                self._signal, "stopped by a signal; everything is saved: the same command again goes on with it"
            )
