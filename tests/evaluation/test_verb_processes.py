"""Verbs in processes of their own: what they say, how they fail, and that none outlives a parent that is told to
stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gazenas.errors import StoppedError
from gazenas.evaluation.verb_processes import VerbError, VerbProcesses

PYTHON = (sys.executable, "-c")
# A verb that notes its process, and notes it again when it is told to end.
CHILD = """
import os, pathlib, signal, sys, time
path = pathlib.Path(sys.argv[1])
def end(*_):
    path.with_suffix(".saved").touch()
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
path.with_suffix(".part").write_text(str(os.getpid()))
path.with_suffix(".part").rename(path)
time.sleep(300)
"""
# Runs two of three at once, as an experiment does.
PARENT = f"""
import sys
from concurrent.futures import ThreadPoolExecutor
from gazenas.errors import StoppedError
from gazenas.evaluation.verb_processes import VerbProcesses
child, paths = {CHILD!r}, sys.argv[1:]
try:
    with VerbProcesses((sys.executable, "-c")) as verbs, ThreadPoolExecutor(2) as pool:
        for ended in [pool.submit(verbs.run, [child, path]) for path in paths]:
            ended.result()
except StoppedError as stopped:
    sys.exit(128 + stopped.signal)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_every_process(number: signal.Signals, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one", "two", "three")]
    parent = subprocess.Popen([*PYTHON, PARENT, *map(str, paths)], cwd=os.getcwd())
    deadline = time.monotonic() + 120
    while not all(path.exists() for path in paths[:2]) and time.monotonic() < deadline and parent.poll() is None:
        time.sleep(0.02)
    parent.send_signal(number)
    assert parent.wait(120) == 128 + number
    left = []
    for path in paths[:2]:
        try:
            os.kill(int(path.read_text()), signal.SIGKILL)
            left.append(path.name)
        except ProcessLookupError:
            pass
    assert not left
    assert all(path.with_suffix(".saved").exists() for path in paths[:2])
    assert not paths[2].exists()  # none is begun once it is told to stop


def test_what_it_says_is_added_to_the_log_and_how_it_failed_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with VerbProcesses(PYTHON) as verbs:
        verbs.run(["print('first')"], log)
        with pytest.raises(VerbError, match=rf"ended with status 3; see {log}"):
            verbs.run(["import sys; print('second', file=sys.stderr); sys.exit(3)"], log)
    assert log.read_text() == "first\nsecond\n"


def test_no_verb_is_begun_after_a_signal_and_handlers_are_as_before(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError) as stopped, VerbProcesses(PYTHON) as verbs:
        assert signal.getsignal(signal.SIGTERM) != before
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StoppedError):
            verbs.run(["print('never')"], tmp_path / "log.txt")
    assert stopped.value.signal == signal.SIGTERM  # nor is the signal lost where no verb was to follow
    assert not (tmp_path / "log.txt").exists()
    assert signal.getsignal(signal.SIGTERM) == before
