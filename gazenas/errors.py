"""What people are told: something given is wrong, work was stopped, another process died."""

from __future__ import annotations


class InputError(ValueError):
    """Something that a person gave us is wrong: a file, a folder, a value. Verbs print it and exit with status 2."""


class StoppedError(Exception):
    """Work was stopped by a signal after everything was saved; the message says how to go on.

    Attributes:
        signal: its number.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.signal = number


class RankDiedError(Exception):
    """Another process of a distributed run is gone; the message names it."""
