"""``gazenas completion``: a script by which a shell completes verbs, flags and what goes by a name."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Iterator
from typing import Literal

from gazenas.commands._common import ASK_PARSER, ParserAskedError, make_parser
from gazenas.commands.doctor import verb_names
from gazenas.data.readers import DATASETS
from gazenas.evaluation.protocols.folds import PROTOCOLS
from gazenas.models.baselines import BASELINES
from gazenas.models.zoo import list_subnets, space_folder
from gazenas.tasks import TASKS

PLAIN = ("doctor",)  # parses by itself, since it works where make_parser's packages are absent
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"
SCRIPT = """\
# Completion of gazenas; written by 'gazenas completion', to be written anew after an update.
_gazenas() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" known=""
  local verb="${{COMP_WORDS[1]}}" second="${{COMP_WORDS[2]}}"
  case "$COMP_CWORD $word" in
    1\\ *) known="{verbs}" ;;
    *\\ -*) case "$verb $second" in
{flags}
    esac ;;
    2\\ *) case "$verb" in
{firsts}
    esac ;;
    *) case "$verb $before" in
{values}
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$known" -- "$word"))
}}
complete -o default -F _gazenas gazenas
"""


def run(argv: list[str]) -> None:
    """Runs the verb."""
    parser = make_parser(
        "completion",
        "Prints a script by which a shell completes verbs, flags and names. For bash: gazenas completion bash > "
        "~/.local/share/bash-completion/completions/gazenas; for zsh, a file that ~/.zshrc reads by 'source FILE'.",
    )
    parser.add_argument("shell", type=Literal["bash", "zsh"], nargs="?", default="bash", help="whose")
    shell = parser.parse_args(argv).shell
    sys.stdout.write((ZSH if shell == "zsh" else "") + completion_script())


def verb_parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every verb, or verb and action, with its parser; protocols share one. Those that lack a package, and doctor,
    are left out."""
    for verb in (verb for verb in verb_names() if verb not in PLAIN):
        try:
            command = importlib.import_module(f"gazenas.commands.{verb}")
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("gazenas"):
                raise
            continue
        for action in getattr(command, "ACTIONS", [""]):
            words = [next(iter(PROTOCOLS))] if verb == "protocol" else [action] if action else []
            try:
                command.run([*words, ASK_PARSER])
            except ParserAskedError as asked:
                yield f"{verb} {action}".strip(), asked.parser


def completion_script() -> str:
    """For bash, and for zsh behind ``bashcompinit``."""
    named = [*list_subnets(), *BASELINES]
    flags: dict[str, list[str]] = {}
    values: dict[str, list[str]] = {}
    firsts: dict[str, list[str]] = {"protocol": [*PROTOCOLS], "completion": ["bash", "zsh"]}
    for words, parser in verb_parsers():
        verb, _, second = words.partition(" ")
        shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
        spelled = [flag for action in shown for flag in action.option_strings if re.fullmatch("--[^_]+", flag)]
        flags[f'"{words}"' if second else f'"{words} "*'] = spelled
        if second:
            firsts.setdefault(verb, []).append(second)
        elif any(action.dest in ("model", "models") and not action.option_strings for action in shown):
            firsts[verb] = named
        for action in shown:
            for flag in action.option_strings:
                known = _values(flag, action)
                if known:
                    values[f'"{verb} {flag}"'] = known
    return SCRIPT.format(
        verbs=" ".join(verb_names()), flags=_cases(flags), firsts=_cases(firsts), values=_cases(values)
    )


def _values(flag: str, action: argparse.Action) -> list[str]:
    """What may follow a flag, where that is a name or one of a few words."""
    named = {
        "--space": sorted(path.stem for path in space_folder().glob("*.yaml")),
        "--arch": [*list_subnets(), *BASELINES],
        "--model": list_subnets(),
        "--teacher": list_subnets(),
        "--task": [*TASKS],
        "--format": ["auto", *DATASETS],
    }
    words = re.fullmatch(r"\{([\w,.-]+)\}", str(action.metavar))
    return words.group(1).split(",") if words else named.get(flag, [])


def _cases(known: dict[str, list[str]]) -> str:
    """Lines of a ``case``: what is known by pattern."""
    return "\n".join(f'      {pattern}) known="{" ".join(words)}" ;;' for pattern, words in known.items())
