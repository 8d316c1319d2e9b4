"""The house: imports point one way, light imports stay light, every package ships, search spaces are found."""

import ast
import configparser
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import gazenas
from tools.draw_rooms import imported_by, modules_of

ROOT = Path(gazenas.__file__).parent
# Rooms from the bottom to the top: a room imports what lies below it alone; rooms of one line never import one another.
ORDER = (
    ("errors",),
    ("files",),
    ("gaze",),
    ("layers", "space", "tasks", "counting"),
    ("ops",),
    ("models",),
    ("data", "export"),
    ("training",),
    ("costs",),
    ("search",),
    ("evaluation",),
    ("compression", "faces", "report"),
    ("commands",),
    ("__main__",),
)
LEVELS = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
HEAVY = ("h5py", "scipy", "fvcore", "onnx", "onnxruntime", "matplotlib")
MOST_LINES, MOST_FUNCTION_LINES = 400, 60
DOCS = [*sorted((ROOT.parent / "docs").rglob("*.md")), ROOT.parent / "README.md"]
# How code came to be is the history's to tell: words of whoever works on it, which mean nothing to a reader.
WORKPLACE = re.compile(
    r"\bissues?\b|\b(this|previous|earlier|last|next) session\b|\bfaults? \d|/work/|DESIGN\.md|FAULTS\.md|TODO|FIXME",
    re.I,
)

MODULES = modules_of(ROOT)
IMPORTS = {name: imported_by(name, MODULES) for name in MODULES}


def room_of(name: str) -> str:
    return name.split(".")[1]


def test_imports_point_one_way() -> None:
    wrong = []
    for name, others in IMPORTS.items():
        if name == "gazenas":
            continue
        wrong += [
            f"{name} imports {other}"
            for other in others
            if other == "gazenas"
            or (room_of(other) != room_of(name) and LEVELS[room_of(other)] >= LEVELS[room_of(name)])
        ]
    assert not wrong


def test_no_circles() -> None:
    left = {name: set(others) for name, others in IMPORTS.items() if name != "gazenas"}
    while free := [name for name, others in left.items() if not others & set(left)]:
        for name in free:
            del left[name]
    assert not left, f"in a circle or above one: {sorted(left)}"


def test_few_modules_in_the_root() -> None:
    assert {path.stem for path in ROOT.glob("*.py")} <= {"__init__", "__main__", "errors", "files", "gaze", "counting"}


def test_files_and_functions_are_short() -> None:
    long = []
    for name, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > MOST_LINES:
            long.append(f"{name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.FunctionDef)
                and node.end_lineno
                and node.end_lineno - node.lineno >= MOST_FUNCTION_LINES
            ):
                long.append(f"{name}.{node.name}: {node.end_lineno - node.lineno + 1} lines")
    assert not long


def public_names(path: Path) -> list[str]:
    return [
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]


def test_no_public_name_twice() -> None:
    homes: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        for public in public_names(path):
            homes.setdefault(public, []).append(name)
    verbs = {"run"}  # every verb has one
    assert not {public: where for public, where in homes.items() if len(where) > 1 and public not in verbs}


def test_a_function_does_not_carry_its_modules_name() -> None:
    wrong = [
        name
        for name, path in MODULES.items()
        if not path.name.startswith("__")
        and path.stem in public_names(path)
        and not (room_of(name) == "costs" or "baselines" in name)  # builders that a table names by the file
    ]
    assert not wrong


PLAIN = {"dict", "str", "int", "float", "bool", "bytes", "tuple", "list", "set", "Path"}
OTHER_REGISTRIES = {"CONTROLS", "VERBS"}  # whose values are plain words


def registries() -> Iterator[tuple[str, Path]]:
    """Every dict in plain sight by whose keys people choose what is done, with its file."""
    for path in MODULES.values():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if not isinstance(target, ast.Name) or not target.id.isupper() or target.id.startswith("_"):
                continue
            kind = node.annotation if isinstance(node, ast.AnnAssign) else None
            named = {each.id for each in ast.walk(kind) if isinstance(each, ast.Name)} if kind else set()
            if target.id in OTHER_REGISTRIES or ("dict" in named and named - PLAIN):
                yield target.id, path.relative_to(ROOT.parent)


def test_registries_are_found() -> None:
    known = {"OPS", "HEADS", "BASELINES", "COSTS", "IMPORTANCES", "DATASETS", "PROTOCOLS", "METHODS", "OPTIMIZERS"}
    assert {"SCHEDULES", "AUGMENTATIONS", "CONTROLS", *known} <= {name for name, _ in registries()}


@pytest.mark.parametrize(("name", "path"), list(registries()))
def test_how_to_extend_every_registry_is_written(name: str, path: Path) -> None:
    paragraphs = (ROOT.parent / "docs" / "extending.md").read_text(encoding="utf-8").split("\n\n")
    assert [text for text in paragraphs if f"`{name}` of" in " ".join(text.split()) and f"`{path.as_posix()}`" in text]


def test_paths_in_documents_are_there() -> None:
    """From the root of the repository or of the package; those that a tutorial writes end in a colon."""
    gone = [
        f"{page.name}: {path}"
        for page in DOCS
        for path in re.findall(
            r"`([a-z0-9_./-]+/[a-z0-9_-]+\.(?:py|yaml|md|txt))`(?!:\n\n```)", page.read_text(encoding="utf-8")
        )
        if not any((root / path).exists() for root in (ROOT.parent, ROOT, page.parent))
    ]
    assert not gone


def test_walks_pass_what_is_there() -> None:
    """Each step of docs/architecture.md names a file of the package and, mostly, what it defines."""
    page = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    steps = re.findall(r"^\d+\. `([a-z0-9_/]+\.py)`(?: `(\w+)`)?", page, re.M)
    assert len(steps) == len(re.findall(r"^\d+\. ", page, re.M)) > 30
    gone = [
        f"{path} {name}"
        for path, name in steps
        if not (ROOT / path).exists()
        or (name and not re.search(rf"^(?:def|class) {name}\b", (ROOT / path).read_text(encoding="utf-8"), re.M))
    ]
    assert not gone


def told(path: Path) -> Iterator[str]:
    """The comments and docstrings of a module, or the lines of a page."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from text.splitlines()
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def test_nothing_speaks_of_the_workplace() -> None:
    code = [path for folder in ("gazenas", "tests", "tools") for path in (ROOT.parent / folder).rglob("*.py")]
    spaces = list((ROOT.parent / "search_spaces").glob("*.yaml"))
    said = [
        f"{path.relative_to(ROOT.parent)}: {text.strip()[:80]}"
        for path in [*code, *spaces, *DOCS]
        for text in told(path)
        if WORKPLACE.search(text)
    ]
    assert not said


def run_python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_light_imports() -> None:
    names = "Architecture", "angular_error", "build_subnet", "count_macs", "load_space"
    used = "; ".join(f"gazenas.{name}" for name in names)
    code = f"import sys, gazenas; {used}; print([m for m in %r if m in sys.modules])"
    assert run_python(code % (HEAVY,)).strip() == "[]"
    assert run_python("import sys, gazenas.models.zoo; print('gazenas.search' in sys.modules)").strip() == "False"
    assert run_python("import sys, gazenas.export.runtime; print('torch' in sys.modules)").strip() == "False"


def test_every_package_ships() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT.parent / "setup.cfg")
    listed = set(config["options"]["packages"].split()) - {"gazenas.search_spaces"}
    found = {".".join(path.parent.relative_to(ROOT.parent).parts) for path in ROOT.rglob("__init__.py")}
    assert listed == found


@pytest.mark.parametrize("name", gazenas.__all__)
def test_public_names_are_there(name: str) -> None:
    assert getattr(gazenas, name) is not None
