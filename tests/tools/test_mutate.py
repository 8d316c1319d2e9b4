"""The program that breaks lines: what it breaks, what it leaves alone, and that it restores."""

from __future__ import annotations

import ast
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools.mutate import broken, choose, mutations, passing_checks, trial
from tools.probes import passing_tests, runs_at_import, with_probes

SOURCE = '''"""A module: 1 + 1."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    SIZE = 3


def clamp(value: float, most: Literal[2, 4] = 4) -> float:
    """Not above 4."""
    if value > most and value is not None:
        raise ValueError(f"expected at most {most + 0}, found " + str(value * 1))
    value -= 1
    print("é", value)
    return value if value >= 0 else [x for x in (1.5,) if x < 2][0]
'''
EXPECTED = {
    "operator": {("and", "or"), (">", ">="), ("is not", "is"), ("-", "+"), (">=", ">"), ("<", "<=")},
    "constant": {("4", "5"), ("1", "2"), ("0", "1"), ("1.5", "2.5"), ("2", "3")},
    "condition": {
        ("value > most and value is not None", "(not (value > most and value is not None))"),
        ("value >= 0", "(not (value >= 0))"),
        ("x < 2", "(not (x < 2))"),
    },
}


def test_what_is_broken_and_what_is_not() -> None:
    found = mutations(SOURCE)
    source = SOURCE.encode()
    for kind, pairs in EXPECTED.items():
        own = {(source[each.start : each.end].decode(), each.text) for each in found if each.kind == kind}
        assert own == pairs, kind
    gone = [source[each.start : each.end].decode() for each in found if each.kind == "statement"]
    assert [text.split("(")[0] for text in gone] == ["raise ValueError", "value -= 1", "print"]
    assert {each.line for each in found} == {9, 11, 12, 13, 14, 15}


def test_every_mutation_is_another_program() -> None:
    """Of the same number of lines unless a statement of several is taken out, and none says the same as before."""
    for each in mutations(SOURCE):
        changed = each.apply(SOURCE.encode()).decode()
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(SOURCE)), each


def test_the_package_can_be_broken_everywhere_it_is_looked_at() -> None:
    path = Path(__file__).parents[2] / "gazenas" / "gaze.py"
    source = path.read_text(encoding="utf-8")
    assert len(mutations(source)) > 20
    for each in mutations(source):
        ast.parse(each.apply(source.encode()))


def test_lines_are_drawn_by_the_seed() -> None:
    sources = {"b.py": SOURCE, "a.py": SOURCE}
    drawn = choose(sources, 3, 5)
    assert drawn == choose(dict(reversed(sources.items())), 3, 5)
    assert drawn != choose(sources, 4, 5)
    assert len({(name, each.line) for name, each in drawn}) == 5
    assert len(choose(sources, 0, 100)) == 12  # six lines of each


def test_a_file_is_whole_again_whatever_happens(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(SOURCE.encode())
    with pytest.raises(KeyboardInterrupt), broken(path, mutations(SOURCE)[0]):
        assert path.read_bytes() != SOURCE.encode()
        raise KeyboardInterrupt
    assert path.read_bytes() == SOURCE.encode()


PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]


def _copy(tree: Path) -> Path:
    return Path(shutil.copytree(tree, tree / "copy", ignore=shutil.ignore_patterns("copy")))


def test_probes_change_no_behavior() -> None:
    """Every line of a program that can hold one, in all kinds of statements."""
    source = (
        "from __future__ import annotations\n\n\ndef sign(x):\n    if x > 0:\n        return 1\n    elif x < 0:\n"
        "        return -1\n    try:\n        return len(\n            x)\n    except TypeError:\n        y = 0\n"
        "    return y\n"
    )
    lines = [5, 6, 7, 8, 10, 11, 13, 14]
    assert [line for line in range(1, 15) if not runs_at_import(source, line)] == [*range(5, 15)]
    hits: list[int] = []
    probed: dict[str, Any] = {"__import__": lambda name: SimpleNamespace(hit=hits.append)}
    exec(compile(with_probes(source, {line: line for line in lines}), "probed", "exec"), probed)
    assert not hits
    assert [probed["sign"](x) for x in (3, -3, 0)] == [1, -1, 0]
    assert hits == [5, 6, 5, 7, 8, 5, 7, 10, 11, 13, 14]


def test_what_tests_notice(tmp_path: Path) -> None:
    """In a package of two functions, of which one is tested; the tree itself is never touched."""
    (tmp_path / "gazenas").mkdir()
    (tmp_path / "tests").mkdir()
    code = tmp_path / "gazenas" / "__init__.py"
    code.write_text("def tested(x):\n    return x + 3\n\n\ndef forgotten(x):\n    return x - 3\n")
    test = "import gazenas, pytest\n\n\n@pytest.mark.core\ndef test_it():\n    assert gazenas.tested(1) == 4\n"
    (tmp_path / "tests" / "test_it.py").write_text(test)
    before = code.read_bytes()
    found = {mutation.line: by for _, mutation, by in trial(tmp_path, seed=0, count=2, tests="core", seconds=200)}
    assert found == {2: "core", 6: ""}
    passing = passing_tests(_copy(tmp_path), [("gazenas/__init__.py", line) for line in (1, 2, 6)], PYTEST)
    assert passing == [["import"], ["tests/test_it.py::test_it"], []]
    assert [name for name, _ in passing_checks(passing[1], "gazenas/__init__.py", 1, tmp_path)][-1] == "passing"
    assert [name for name, _ in passing_checks(passing[2], "gazenas/__init__.py", 1, tmp_path)] == ["ruff", "mypy"]
    assert code.read_bytes() == before
    (tmp_path / "tests" / "test_it.py").write_text(test.replace("== 4", "== 5"))
    with pytest.raises(RuntimeError, match="core fails with nothing broken"):
        next(trial(tmp_path, seed=0, count=1, tests="core", seconds=200))
