"""Every flag of every verb, a line each. ``python -m tests.flags`` writes them to ``tests/flags.txt``."""

from __future__ import annotations

from pathlib import Path

from gazenas.commands.completion import verb_parsers

LIST = Path(__file__).with_name("flags.txt")


def spellings() -> dict[str, set[str]]:
    """By verb, everything that it takes as a flag."""
    return {
        verb: {word for action in parser._actions for word in action.option_strings if word.startswith("--")}
        for verb, parser in verb_parsers()
    }


def lines() -> list[str]:
    """A line a verb and flag, spelled with dashes, as the list has them."""
    return sorted({f"{verb} {word.replace('_', '-')}" for verb, words in spellings().items() for word in words})


if __name__ == "__main__":
    LIST.write_text("\n".join(lines()) + "\n", encoding="utf-8")
