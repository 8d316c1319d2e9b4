"""Breaks lines of the package one at a time and says which of them the tests notice.

``python -m tools.mutate --seed 0 --lines 50 --tests quick`` draws 50 lines, breaks each in one way (an operator
swapped, a number changed, a condition negated, a statement taken out), runs the checks from the fastest to the slowest
until one fails, and restores the line. Docstrings, messages and annotations are left alone. Everything happens in a
copy of the tree.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.probes import IMPORT, passing_tests

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = (".git", ".venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", "build", "demo", "runs")
TESTS = ("core", "near", "passing", "quick")
TESTS_HELP = (
    "quick: ruff, mypy and all tests, as make test runs them; near: of the tests only core and those of the file's "
    "room, a lower bound; passing: only those that pass the line, as one run of all tests finds first, nearly as good"
)
ONE_CALL = 400  # tests by name at most; of more, every so many-th
OPERATORS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
}


@dataclass(frozen=True)
class Mutation:
    """One way to break a source.

    Attributes:
        line: from 1.
        kind: ``operator``, ``constant``, ``condition`` or ``statement``.
        start: of the bytes that are replaced.
        end: behind them.
        text: what replaces them.
    """

    line: int
    kind: str
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        """The broken source."""
        return source[: self.start] + self.text.encode() + source[self.end :]


class _Finder(ast.NodeVisitor):
    """Gathers mutations; does not look into messages and annotations."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.found: list[Mutation] = []
        self.in_function = False

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Where a node's bytes begin and end."""
        begin = self.starts[node.lineno - 1] + node.col_offset
        return begin, self.starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)

    def add(self, kind: str, start: int, end: int, text: str) -> None:
        """Notes a mutation."""
        self.found.append(Mutation(self.source.count(b"\n", 0, start) + 1, kind, start, end, text))

    def between(self, left: ast.expr, right: ast.expr, operator: ast.AST) -> None:
        """Swaps the operator that stands between two operands."""
        if type(operator) not in OPERATORS:
            return
        old, new = OPERATORS[type(operator)]
        begin, end = self.span(left)[1], self.span(right)[0]
        at = self.source.find(old.encode(), begin, end)
        if at >= 0 and b"#" not in self.source[begin:end]:
            self.add("operator", at, at + len(old), new)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.between(node.left, node.right, node.op)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.between(node.values[0], node.values[1], node.op)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        self.between(node.left, node.comparators[0], node.ops[0])
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.between(node.target, node.value, node.op)
        self.statement(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.add("constant", *self.span(node), str(not node.value))
        elif isinstance(node.value, int | float):
            self.add("constant", *self.span(node), repr(node.value + 1))

    def condition(self, test: ast.expr) -> None:
        """Negates a test."""
        start, end = self.span(test)
        self.add("condition", start, end, f"(not ({self.source[start:end].decode()}))")

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.condition(node.test)
            self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.condition(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.condition(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.condition(test)
        self.generic_visit(node)

    def statement(self, node: ast.stmt) -> None:
        """Takes a statement of a function out."""
        if self.in_function:
            self.add("statement", *self.span(node), "pass")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant | ast.Yield | ast.YieldFrom):  # docstrings, ..., generators
            self.statement(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.statement(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        if self.in_function:
            self.add("statement", *self.span(node), "pass")  # and no further: what is inside is the message

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """A message, or part of one."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer, self.in_function = self.in_function, True
        for each in [*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body]:
            self.visit(each)
        self.in_function = outer


def mutations(source: str) -> list[Mutation]:
    """Every way in which this program breaks a source, in the order of the lines."""
    finder = _Finder(source.encode())
    finder.visit(ast.parse(source))
    return sorted(finder.found, key=lambda each: (each.line, each.start, each.kind))


def choose(sources: Mapping[str, str], seed: int, count: int) -> list[tuple[str, Mutation]]:
    """A mutation on each of ``count`` lines, drawn alike among all lines that have one; the seed says which."""
    by_line: dict[tuple[str, int], list[Mutation]] = {}
    for name in sorted(sources):
        for mutation in mutations(sources[name]):
            by_line.setdefault((name, mutation.line), []).append(mutation)
    draw = random.Random(seed)
    lines = draw.sample(sorted(by_line), min(count, len(by_line)))
    return [(line[0], draw.choice(by_line[line])) for line in lines]


@contextmanager
def broken(path: Path, mutation: Mutation) -> Iterator[None]:
    """The file is broken inside the block and whole again behind it."""
    whole = path.read_bytes()
    try:
        path.write_bytes(mutation.apply(whole))
        yield
    finally:
        path.write_bytes(whole)


def pytest_command(workers: int) -> list[str]:
    """Runs tests until one fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    return [*command, *(["-n", str(workers), "--dist", "worksteal"] if workers > 1 else [])]


def passing_checks(tests: Sequence[str], name: str, workers: int, tree: Path) -> list[tuple[str, list[str]]]:
    """Ruff, mypy, and the tests that pass a line, those of the file's room first; near's checks where it runs as its
    module is loaded."""
    if IMPORT in tests:
        return checks_of("near", name, workers, tree)
    room = "/".join(["tests", *Path(name).parts[1:-1]])
    ordered = sorted(tests, key=lambda test: (not test.startswith(room), test))
    chosen = ordered[:: -(-len(ordered) // ONE_CALL) or 1]
    lint = checks_of("near", name, workers, tree)[:2]
    return [*lint, *([("passing", [*pytest_command(workers), *chosen])] if chosen else [])]


def checks_of(tests: str, name: str, workers: int, tree: Path) -> list[tuple[str, list[str]]]:
    """What is run one after the other: names and commands; the tests of the file's own room come first."""
    pytest = pytest_command(workers)
    room = Path("tests", *Path(name).parts[1:-1])
    folders = dict.fromkeys([str(room)] if len(room.parts) > 1 and (tree / room).is_dir() else [])
    core = [("core", [*pytest, "-m", "core", *folders, "tests"])]
    if tests == "core":
        return core
    lint = [
        ("ruff", [sys.executable, "-m", "ruff", "check", "--quiet", name]),
        ("mypy", [sys.executable, "-m", "mypy"]),
    ]
    if tests == "near":
        return [*lint, *core, *(("room", [*pytest, folder]) for folder in folders)]
    return [*lint, *core, ("quick", [*pytest, *folders, "tests"])]


def noticed(checks: Sequence[tuple[str, list[str]]], tree: Path, seconds: float) -> str:
    """The first check that fails or takes longer than ``seconds``; empty where none does."""
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    for name, command in checks:
        try:
            run = subprocess.run(command, cwd=tree, env=environment, timeout=seconds, capture_output=True, check=False)
        except subprocess.TimeoutExpired:
            return f"{name}, which did not end"
        if run.returncode:
            return name
    return ""


def trial(
    root: Path, seed: int, count: int, tests: str, workers: int = 1, seconds: float = 1800
) -> Iterator[tuple[str, Mutation, str]]:
    """Breaks lines in a copy of a tree, one at a time; gives each with its file and the check that noticed, or none.

    Args:
        root: of the tree, which has ``gazenas/`` and ``tests/``.
        seed: of the lines and of how each is broken.
        count: of lines.
        tests: of ``TESTS``.
        workers: processes of the tests.
        seconds: a check that takes longer does not end.

    Raises:
        RuntimeError: where a check fails with nothing broken.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(root, tree, ignore=shutil.ignore_patterns(*LEFT_OUT))
        files = sorted((tree / "gazenas").rglob("*.py"))
        sources = {path.relative_to(tree).as_posix(): path.read_text(encoding="utf-8") for path in files}
        first = "core" if tests == "passing" else tests
        failing = noticed(checks_of(first, "gazenas", workers, tree), tree, seconds)
        if failing:
            raise RuntimeError(f"{failing} fails with nothing broken: mend that first")
        chosen = choose(sources, seed, count)
        passing = _passing(root, chosen, workers) if tests == "passing" else []
        for number, (name, mutation) in enumerate(chosen):
            checks = (
                passing_checks(passing[number], name, workers, tree)
                if passing
                else checks_of(tests, name, workers, tree)
            )
            with broken(tree / name, mutation):
                by = noticed(checks, tree, seconds)
            yield name, mutation, by


def _passing(root: Path, chosen: Sequence[tuple[str, Mutation]], workers: int) -> list[list[str]]:
    """The tests that pass each of the lines, found in a copy of the tree."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(root, tree, ignore=shutil.ignore_patterns(*LEFT_OUT))
        command = [word for word in pytest_command(workers) if word != "-x"]
        return passing_tests(tree, [(name, mutation.line) for name, mutation in chosen], [*command, "tests"])


def main() -> None:
    """Reads arguments, breaks lines, prints a row for each and the share that was noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the lines and of how each is broken")
    parser.add_argument("--lines", type=int, default=50, help="how many lines are broken")
    parser.add_argument("--tests", choices=TESTS, default="core", help=TESTS_HELP)
    parser.add_argument("--workers", type=int, default=1, help="processes of the tests")
    parser.add_argument("--seconds", type=float, default=1800, help="a check that takes longer does not end")
    given = parser.parse_args()
    caught, number, begun = 0, 0, time.monotonic()
    for name, mutation, by in trial(ROOT, given.seed, given.lines, given.tests, given.workers, given.seconds):
        number, caught = number + 1, caught + bool(by)
        before = (ROOT / name).read_bytes()[mutation.start : mutation.end].decode().split("\n")[0]
        said = f"noticed by {by}" if by else "NOT NOTICED"
        change = f"{mutation.kind}: {before} -> {mutation.text.splitlines()[0]}"
        print(f"{number:3} {name}:{mutation.line} {change} | {said} | {time.monotonic() - begun:.0f} s", flush=True)
    print(f"seed {given.seed}: {caught} of {number} broken lines noticed by {given.tests}")


if __name__ == "__main__":
    main()
