"""The house: imports point one way, light imports stay light, every package ships, search spaces are found."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

import gazenas

ROOT = Path(gazenas.__file__).parent
# Rooms from the bottom to the top: a room imports only what lies below it, and rooms of one line never import one another.
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
    ("compression", "report"),
    ("commands",),
    ("__main__",),
)
LEVELS = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
HEAVY = ("h5py", "scipy", "fvcore", "onnx", "onnxruntime", "matplotlib")
MOST_LINES, MOST_FUNCTION_LINES = 400, 60


def modules_of(root: Path) -> dict[str, Path]:
    """Every module by its dotted name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules_of(ROOT)


def imported_by(name: str) -> set[str]:
    """Modules of ours that a module imports anywhere: at its top, in a function, for type checkers alone, or by `from package import x`."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import in line {node.lineno}"
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {each if each in MODULES else str(node.module) for each in inner}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & set(MODULES)) - {name}


IMPORTS = {name: imported_by(name) for name in MODULES}


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


def run_python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_light_imports() -> None:
    code = "import sys, gazenas; gazenas.build_subnet, gazenas.load_space, gazenas.count_macs, gazenas.angular_error, gazenas.Architecture; print([m for m in %r if m in sys.modules])"
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
