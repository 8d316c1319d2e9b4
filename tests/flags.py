"""Every flag of every verb, a line each. ``python -m tests.flags`` writes them to ``tests/flags.txt``."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from gazenas.__main__ import VERBS, main
from gazenas.commands._common import VerbParser
from gazenas.evaluation.protocols.folds import PROTOCOLS

PLAIN = ("doctor",)  # works where make_parser's packages are absent
LIST = Path(__file__).with_name("flags.txt")


class _MadeError(Exception):
    """A verb came to parse its arguments."""


def parsers() -> Iterator[tuple[str, VerbParser]]:
    """Every verb, or verb and action, with its parser; protocols share one."""
    for verb in (verb for verb in VERBS if verb not in PLAIN):
        actions = getattr(importlib.import_module(f"gazenas.commands.{verb}"), "ACTIONS", None)
        for words in [[verb, action] for action in actions] if actions else [[verb]]:
            yield " ".join(words), _parser_of([verb, next(iter(PROTOCOLS))] if verb == "protocol" else words)


def _parser_of(words: list[str]) -> VerbParser:
    made: list[VerbParser] = []

    def stop(parser: VerbParser, *_: object) -> None:
        made.append(parser)
        raise _MadeError

    with mock.patch.object(VerbParser, "parse_args", stop):
        try:
            main(words)
        except _MadeError:
            return made[0]
    raise AssertionError(f"{' '.join(words)}: expected a parser by make_parser, and its actions in ACTIONS")


def spellings() -> dict[str, set[str]]:
    """By verb, everything that it takes as a flag."""
    return {
        verb: {word for action in parser._actions for word in action.option_strings if word.startswith("--")}
        for verb, parser in parsers()
    }


def lines() -> list[str]:
    """A line a verb and flag, spelled with dashes, as the list has them."""
    return sorted({f"{verb} {word.replace('_', '-')}" for verb, words in spellings().items() for word in words})


if __name__ == "__main__":
    LIST.write_text("\n".join(lines()) + "\n", encoding="utf-8")
