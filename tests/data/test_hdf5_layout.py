"""One layout for what is rendered, prepared and read; what is rendered says so, and only that is ever replaced."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gazenas.__main__ import main
from gazenas.data import hdf5_layout as layout
from gazenas.data.readers import open_data
from gazenas.data.synthetic.generation import generate, rendered_files
from tests.data.layouts import WRITERS, Faces

SMALL = ("--subjects", "3", "--per-subject", "2", "--size", "16", "--workers", "1")


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    gaze = rng.uniform(-1, 1, (4, 2)).astype(np.float32)
    for part, names in {"train": ["a.h5", "b.h5"], "test": ["c.h5"]}.items():
        layout.part_folder(tmp_path, part).mkdir()
        for name in names:
            columns = {layout.GAZE: gaze, layout.SESSION: np.array([0, 1, 1, 0])}
            layout.write_person(
                layout.part_folder(tmp_path, part) / name, images, columns, session_names=["day", "night"]
            )
    (tmp_path / layout.SPLIT_FILE).write_text(json.dumps({"train": ["a.h5"], "val": ["b.h5"], "test": ["c.h5"]}))
    for split in open_data(tmp_path).splits.values():
        np.testing.assert_array_equal(split.images(np.arange(4)), images)
        np.testing.assert_array_equal(split.gaze, gaze)
        assert split.sessions == ["day", "night"]
        np.testing.assert_array_equal(split.session, [0, 1, 1, 0])


def test_a_rendered_folder_says_so(data_folder: Path) -> None:
    said = json.loads((data_folder / layout.METADATA_FILE).read_text())["rendered"]
    assert said == {"renderer": 1, "subjects": 5, "per_subject": 16, "size": 32, "seed": 3}
    found = rendered_files(data_folder)
    assert found is not None
    assert sorted(found) == sorted(data_folder.rglob("*.h5"))


def test_overwrite_replaces_what_was_rendered(tmp_path: Path) -> None:
    out = tmp_path / "faces"
    generate(out, subjects=5, per_subject=2, size=16, seed=1, workers=1)
    (out / "train" / ".subject0001.h5.77.part").write_bytes(b"half")
    assert main(["synth", str(out), *SMALL]) == 2
    assert main(["synth", str(out), *SMALL, "--seed", "2", "--overwrite"]) == 0
    generate(tmp_path / "fresh", subjects=3, per_subject=2, size=16, seed=2, workers=1)
    assert files_of(out) == files_of(tmp_path / "fresh")


def test_an_interrupted_rendering_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "faces"
    generate(out, subjects=3, per_subject=2, size=16, seed=1, workers=1)
    (out / layout.SPLIT_FILE).unlink()
    (out / "test" / "subject0002.h5").unlink()
    assert main(["synth", str(out), *SMALL, "--overwrite"]) == 0
    assert (out / layout.SPLIT_FILE).exists()


@pytest.mark.parametrize("case", ["of the same shape", "with more in it", "one file more", "damaged metadata"])
def test_overwrite_spares_what_was_not_rendered(
    case: str, few_faces: Faces, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "faces"
    if case == "of the same shape":
        WRITERS["ethxgaze"](out, few_faces)
    else:
        generate(out, subjects=3, per_subject=2, size=16, seed=1, workers=1)
    if case == "with more in it":
        (out / "notes.txt").write_text("mine")
    if case == "one file more":
        shutil.copy(out / "train" / "subject0000.h5", out / "train" / "anna.h5")
    if case == "damaged metadata":
        (out / layout.METADATA_FILE).write_text(json.dumps({"rendered": {"subjects": "three"}}))
    before = files_of(out)
    assert main(["synth", str(out), *SMALL, "--overwrite"]) == 2
    assert files_of(out) == before
    said = capsys.readouterr().err
    assert {"of the same shape": "nothing in it says", "with more in it": "notes.txt", "one file more": "anna.h5"}.get(
        case, "nothing in it says"
    ) in said
