"""Which tests pass which lines: probes are set before statements of a copy of the package, and every test is run once.

``python -m tools.mutate --tests passing`` then runs, for a broken line, only the tests that pass it.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

IMPORT = "import"  # stands for every test, where a line runs as its module is loaded
MODULE = "gazenas_probe"
CODE = '''
"""Notes which test passes which probe; the processes that a test starts count as the test."""
import os

seen = set()


def hit(key):
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rsplit(" (", 1)[0]
    if test and (key, test) not in seen and "GAZENAS_PROBES" in os.environ:
        seen.add((key, test))
        with open(os.environ["GAZENAS_PROBES"], "a", encoding="utf-8") as file:
            file.write(f"{key}\\t{test}\\n")
'''


def with_probes(source: str, probes: Mapping[int, int]) -> str:
    """The program with a probe before the innermost statement of each line.

    Args:
        source: of a module.
        probes: numbers of probes by line, from 1.

    Raises:
        ValueError: where a line belongs to no statement.
    """
    tree = ast.parse(source)
    set_so_far: set[int] = set()

    def set_in(body: list[ast.stmt]) -> None:
        for statement in list(body):
            for inner in _bodies(statement):
                set_in(inner)
            first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])
            lines = [n for n in range(first, (statement.end_lineno or 0) + 1) if n in probes.keys() - set_so_far]
            set_so_far.update(lines)
            calls = [ast.parse(f'__import__("{MODULE}").hit({probes[line]})').body[0] for line in lines]
            body[body.index(statement) : body.index(statement)] = calls

    set_in(tree.body)
    if probes.keys() - set_so_far:
        raise ValueError(f"expected a statement on every line, found none on {sorted(probes.keys() - set_so_far)}")
    return ast.unparse(ast.fix_missing_locations(tree))


def runs_at_import(source: str, line: int) -> bool:
    """Whether a line is of no function's body: of a module, a class, a default value."""
    functions = [each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.FunctionDef)]
    return not any(each.body[0].lineno <= line <= (each.end_lineno or 0) for each in functions)


def _bodies(statement: ast.stmt) -> list[list[ast.stmt]]:
    """Lists of statements directly inside a statement."""
    found = [getattr(statement, name) for name in ("body", "orelse", "finalbody") if getattr(statement, name, None)]
    found += [handler.body for handler in getattr(statement, "handlers", [])]
    return found + [case.body for case in getattr(statement, "cases", [])]


def passing_tests(tree: Path, lines: Sequence[tuple[str, int]], command: Sequence[str]) -> list[list[str]]:
    """For each line the tests that pass it, in the order of their names; ``IMPORT`` alone for one that runs as its
    module is loaded.

    Args:
        tree: of the package and its tests, which is left changed.
        lines: files and lines.
        command: that runs all tests; what fails is of no interest.
    """
    by_file: dict[str, dict[int, int]] = {}
    early: set[int] = set()
    for number, (name, line) in enumerate(lines):
        if runs_at_import((tree / name).read_text(encoding="utf-8"), line):
            early.add(number)
        else:
            by_file.setdefault(name, {})[line] = number
    for name, probes in by_file.items():
        path = tree / name
        path.write_text(with_probes(path.read_text(encoding="utf-8"), probes), encoding="utf-8")
    (tree / f"{MODULE}.py").write_text(CODE, encoding="utf-8")
    log = tree / "probes.txt"
    log.touch()
    more = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "GAZENAS_PROBES": str(log)}
    subprocess.run(command, cwd=tree, env=os.environ | more, stdout=sys.stderr, check=False)
    found: list[set[str]] = [set() for _ in lines]
    for entry in log.read_text(encoding="utf-8").splitlines():
        key, test = entry.split("\t")
        found[int(key)].add(test)
    return [[IMPORT] if number in early else sorted(tests) for number, tests in enumerate(found)]
