"""The house: imports point one way, light imports stay light, every package ships, search spaces are found."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

import gazenas

ROOT = Path(gazenas.__file__).parent
LEVELS = {
    "gaze": 0,
    "architecture": 0,
    "layers": 0,
    "ops": 1,
    "counting": 1,
    "tables": 1,
    "models": 2,
    "engine": 3,
    "data": 3,
    "export": 3,
    "report": 3,
    "checkpoint": 3,
    "averaging": 3,
    "optimization": 3,
    "distributed": 3,
    "interruption": 3,
    "evaluation": 3,
    "runs": 3,
    "training": 3,
    "muon": 2,
    "finetuning": 4,
    "calibration": 4,
    "subruns": 5,
    "protocol_runs": 5,
    "comparison": 5,
    "search": 4,
    "commands": 6,
    "__main__": 7,
}
HEAVY = ("h5py", "scipy", "fvcore", "onnx", "onnxruntime", "matplotlib")


def imports_of(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    guarded = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and "TYPE_CHECKING" in ast.dump(test.test)
        for node in ast.walk(test)
    }
    names = []
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def test_imports_point_one_way() -> None:
    wrong = []
    for path in ROOT.rglob("*.py"):
        part = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        for name in imports_of(path):
            if name.startswith("gazenas."):
                other = name.split(".")[1]
                if LEVELS[other] > LEVELS[part] or (LEVELS[other] == LEVELS[part] == 0 and other != part):
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
                if other == "search" and part in ("ops", "models", "export"):
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def run_python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_light_imports() -> None:
    code = "import sys, gazenas; gazenas.build_subnet, gazenas.load_space, gazenas.count_macs, gazenas.angular_error, gazenas.Architecture; print([m for m in %r if m in sys.modules])"
    assert run_python(code % (HEAVY,)).strip() == "[]"
    assert run_python("import sys, gazenas.models.builders; print('gazenas.search' in sys.modules)").strip() == "False"
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
