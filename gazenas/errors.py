"""What people are told: something given is wrong, work was stopped, another process died."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What a message says after a word that nobody knows: the nearest one that is known, or nothing.

    Args:
        word: as it was given.
        known: what could have been meant.
    """
    by_lower = {each.lower(): each for each in known}
    near = get_close_matches(word.lower(), by_lower, 1)
    return f" (did you mean {by_lower[near[0]]}?)" if near else ""
