"""Names that a data set gives stay inside the folder that they are written to, and apart from one another."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from gazenas.evaluation.comparison import _short
from gazenas.files import safe_name

HOSTILE = (
    "",
    ".",
    "..",
    "../../../escaped",
    "..\\..\\escaped",
    "/etc/passwd",
    "a/b",
    "a_b/",
    "a\0b",
    "a\nb",
    "-rf",
    " ",
    "anna ",
    "anna.",
    ".hidden",
    "~root",
    "$HOME",
    "a:b",
    "con\x7f",
    "\udce9",
    "x" * 300,
    "x" * 301,
    "\U0001f600" * 100,
    "e\u0301",
    "\u202egpj.exe",
)
PLAIN = ("subject0000", "p00", "s001", "anna b", "mpiifacegaze-to-eyediap", "rec_000", "S.1", "\u00e9lise", "\u674e")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_inside(text: str, tmp_path: Path) -> None:
    name = safe_name(text)
    assert name != text
    assert Path(name).name == name
    assert name not in (".", "..")
    (tmp_path / name).mkdir()
    assert os.listdir(tmp_path) == [name]
    (tmp_path / name / f"{name}.h5").touch()


def test_usual_names_stay_as_they_are() -> None:
    assert [safe_name(text) for text in PLAIN] == list(PLAIN)


def test_two_texts_never_share_a_name() -> None:
    texts = [*HOSTILE, *PLAIN, "_", "a b", "a_b", "a__b", "a/_b", "a_/b"]
    names = [safe_name(text) for text in texts]
    # A text that is what another one becomes, and so on: nobody can take the name of somebody else.
    copies = [names]
    for _ in range(3):
        copies.append([safe_name(name) for name in copies[-1]])
    for before, after in pairwise(copies):
        assert not {b for b, text in zip(after, before, strict=True) if b != text} & set(before)
    assert len({name.casefold() for name in names}) == len(texts)


def test_networks_that_are_compared_have_names_inside() -> None:
    taken: list[str] = []
    for source in ("..", "/", "../..", "runs/one/arch.json", "runs/two/arch.json", "gazenas-tiny-9m", "a/../.."):
        taken.append(_short(source, taken))
    assert all(Path(name).name == name and name != ".." for name in taken)
    assert len(set(taken)) == len(taken)
    assert taken[3:6] == ["arch", "two-arch", "gazenas-tiny-9m"]
