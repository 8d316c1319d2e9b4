"""Recipes as flags: one a field, whose help is the field's text in the docstring of its class."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import Field, fields
from typing import Any, TypeVar, get_type_hints

import docstring_parser.google
from jsonargparse import ArgumentParser, Namespace

from gazenas.training.recipe import TrainingRecipe

R = TypeVar("R", bound=TrainingRecipe)


def flag_of(recipe_field: Field[Any]) -> str:
    """The name of a recipe's field on the command line and in ``config.yaml``."""
    name: str = recipe_field.metadata.get("flag", recipe_field.name)
    return name


def add_recipe(parser: ArgumentParser, recipe: type[TrainingRecipe], leave_out: Collection[str] = ()) -> None:
    """One argument for each field of a recipe, whose help is the field's text in the docstring of its class.

    Args:
        parser: gets the arguments.
        recipe: the class, whose defaults are the arguments'.
        leave_out: fields that the verb decides itself.
    """
    types = get_type_hints(recipe)
    texts = {
        each.arg_name: " ".join((each.description or "").split()).removesuffix(".")
        for base in reversed(recipe.__mro__)
        for each in docstring_parser.google.parse(base.__doc__ or "").params
    }
    for each in fields(recipe):
        if each.name not in leave_out:
            default: Any = each.default
            words: dict[str, Any] = {"type": types[each.name], "default": default, "help": texts[each.name]}
            if isinstance(default, tuple):
                words |= {"type": list[int], "default": list(default)}  # of which YAML knows more than of tuples
            if "one_of" in each.metadata:
                words["metavar"] = f"{{{','.join(each.metadata['one_of'])}}}"
            parser.add_argument(f"--{flag_of(each)}", **words)


def recipe_of(arguments: Namespace, recipe: type[R]) -> R:
    """The recipe out of parsed arguments; fields that are no arguments keep their defaults."""
    values: dict[str, Any] = {
        each.name: arguments[flag_of(each)] for each in fields(recipe) if flag_of(each) in arguments
    }
    for name, value in values.items():
        values[name] = tuple(value) if isinstance(value, list) else value
    return recipe(**values)


def parse_with_recipe(
    parser: ArgumentParser,
    argv: list[str],
    recipe: type[TrainingRecipe],
    recipes: Mapping[str, Mapping[str, Any]],
) -> Namespace:
    """Parses ``argv``; ``--recipe NAME`` first replaces defaults, which other arguments override.

    Args:
        parser: has the arguments of ``recipe``, and ``--recipe``.
        argv: the words.
        recipe: the class.
        recipes: by name, what differs from the recipe's defaults, by field.
    """
    printing = [word for word in argv if word.startswith(("--print_config", "--print-config"))]
    named = recipes[parser.parse_args([word for word in argv if word not in printing]).recipe]
    flags = {each.name: flag_of(each) for each in fields(recipe)}
    parser.set_defaults({flags[name]: value for name, value in named.items()})
    arguments: Namespace = parser.parse_args(argv)
    return arguments
