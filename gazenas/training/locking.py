"""A file that one process at a time holds; the system lets go of it when the process dies."""

from __future__ import annotations

import importlib
import os
from typing import IO, Any

FAR = 1 << 30  # Windows locks bytes, against reading too: one that no log ever has


def hold(file: IO[Any]) -> bool:
    """Holds an open file until it is closed.

    Returns:
        Whether it does; another process may hold it.
    """
    try:
        fcntl: Any = importlib.import_module("fcntl")
    except ModuleNotFoundError:
        return _hold_on_windows(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _hold_on_windows(file: IO[Any]) -> bool:
    msvcrt: Any = importlib.import_module("msvcrt")
    file.flush()
    os.lseek(file.fileno(), FAR, os.SEEK_SET)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    finally:
        os.lseek(file.fileno(), 0, os.SEEK_END)
    return True
