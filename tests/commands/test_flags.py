"""What verbs take: a checked-in list, two spellings, and recipes whose flags and help are their dataclasses' own."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import yaml

from gazenas.__main__ import main
from gazenas.commands._common import make_parser
from gazenas.commands._recipes import add_recipe, flag_of, recipe_of
from gazenas.search.recipe import PAPER_RECIPE, SearchRecipe
from gazenas.training.finetuning import PAPER_RECIPE as FINETUNE_PAPER
from gazenas.training.finetuning import FinetuneRecipe
from gazenas.training.recipe import TrainingRecipe
from tests.flags import LIST, lines, spellings

VERBS: list[tuple[list[str], type[TrainingRecipe], dict[str, Any]]] = [
    (["search", "--data", "x", "--out", "y"], SearchRecipe, PAPER_RECIPE),
    (["finetune", "--arch", "a", "--data", "x", "--out", "y"], FinetuneRecipe, FINETUNE_PAPER),
]


def test_every_flag_is_on_the_list() -> None:
    assert lines() == LIST.read_text(encoding="utf-8").splitlines(), (
        "flags differ from tests/flags.txt: a new one is a decision, and one that goes is answered with what to write "
        "instead (RENAMED in gazenas/commands/_common.py); python -m tests.flags writes the list anew"
    )


def test_dashes_and_underscores() -> None:
    for verb, words in spellings().items():
        for word in words:
            name = word.removeprefix("--").removeprefix("no-")  # argparse's own, of a switch
            assert {f"--{name.replace('_', '-')}", f"--{name.replace('-', '_')}"} <= words, (verb, word)


def printed(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--print_config"])
    assert not stopped.value.code
    values: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return values


@pytest.mark.parametrize(("words", "recipe", "paper"), VERBS)
def test_recipes_are_flags(
    words: list[str], recipe: type[TrainingRecipe], paper: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every field with its default; a named recipe replaces defaults, and what is given replaces both."""
    shown = printed(words, capsys)
    for field in fields(recipe):
        default: Any = field.default
        assert shown[flag_of(field)] == (list(default) if isinstance(default, tuple) else default)
    shown = printed([*words, "--recipe", "paper", "--decay-every", "7", "--milestones", "[3, 4]"], capsys)
    flags = {field.name: flag_of(field) for field in fields(recipe)}
    assert {name: shown[flags[name]] for name in paper} == paper | {"decay_every": 7}
    assert shown["milestones"] == [3, 4]


@pytest.mark.parametrize("recipe", [SearchRecipe, FinetuneRecipe])
def test_recipes_are_read_as_they_were_given(recipe: type[TrainingRecipe]) -> None:
    parser = make_parser("none", "Nothing.")
    add_recipe(parser, recipe)
    assert recipe_of(parser.parse_args([]), recipe) == recipe()
    given = recipe_of(parser.parse_args(["--milestones", "[1, 2]", "--weight-decay", "0.5"]), recipe)
    assert given == recipe(milestones=(1, 2), weight_decay=0.5)


def test_what_a_verb_leaves_out_keeps_its_default() -> None:
    parser = make_parser("none", "Nothing.")
    add_recipe(parser, FinetuneRecipe, leave_out=("keep",))
    assert "--keep" not in {word for action in parser._actions for word in action.option_strings}
    assert recipe_of(parser.parse_args([]), FinetuneRecipe) == FinetuneRecipe()


def test_lambda_keeps_its_name() -> None:
    parser = make_parser("none", "Nothing.")
    add_recipe(parser, SearchRecipe)
    arguments = parser.parse_args(["--lambda", "0.25", "--lambda-warm-up", "0.5"])
    assert (arguments["lambda"], arguments.lambda_warm_up) == (0.25, 0.5)
    recipe = recipe_of(arguments, SearchRecipe)
    assert (recipe.penalty_weight, recipe.penalty_warm_up) == (0.25, 0.5)


@pytest.mark.parametrize("recipe", [SearchRecipe, FinetuneRecipe])
def test_help_is_the_docstring_with_defaults_and_choices(recipe: type[TrainingRecipe]) -> None:
    parser = make_parser("none", "Nothing.")
    add_recipe(parser, recipe)
    own = {word: action for action in parser._actions for word in action.option_strings}
    documented = " ".join(" ".join(base.__doc__ or "" for base in recipe.__mro__).split())
    for field in fields(recipe):
        action = own[f"--{flag_of(field)}"]
        assert action.help
        assert f"{field.name}: {action.help}." in documented
        if "one_of" in field.metadata:
            assert action.metavar == "{" + ",".join(field.metadata["one_of"]) + "}"
    assert "(type: float, default: 0.003)" in " ".join(parser.format_help().split())
