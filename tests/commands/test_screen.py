"""``gazenas screen`` from predictions and dots to a file that ``predict`` takes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gazenas.__main__ import main
from gazenas.faces.records import COLUMNS, rotation_vector
from gazenas.faces.screen import guess_screen
from tests.faces.test_screen import looks_at
from tests.running import run_bad

SCREEN = ["--size-mm", "[531, 299]", "--pixels", "[1920, 1080]"]


@pytest.fixture
def looked(tmp_path: Path) -> list[str]:
    """A prediction of 27 photos, with a smaller face beside in each, and the dots."""
    true = guess_screen((531.0, 299.0), (1920, 1080), (0.0, 30.0, 0.0), 0.2)
    rows, dots = [], []
    for number, look in enumerate(looks_at(true, 0, noise=0.7, bias=(2.0, 1.0))):
        name = f"{number:02d}.jpg"
        row = dict.fromkeys(COLUMNS, "") | {"source": f"photos/{name}", "frame": number, "face": 0, "status": "ok"}
        row |= dict(zip(("pitch", "yaw"), look.angles, strict=True))
        row |= dict(zip(("origin_x", "origin_y", "origin_z"), look.origin, strict=True))
        vector = rotation_vector(look.rotation.T)  # a head that faces the camera: its normalized frame is its own
        row |= dict(zip(("head_rotation_x", "head_rotation_y", "head_rotation_z"), vector, strict=True))
        rows += [
            row | {"box_width": 90, "box_height": 90},
            row | {"face": 1, "yaw": 1.0, "box_width": 9, "box_height": 9},
        ]
        dots.append({"source": name, "x": look.dot[0], "y": look.dot[1]})
    rows.append(dict.fromkeys(COLUMNS, "") | {"source": "photos/99.jpg", "frame": 99, "status": "no_face"})
    (tmp_path / "looks").mkdir()
    for path, table in ((tmp_path / "looks" / "predictions.csv", rows), (tmp_path / "dots.csv", dots)):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    return ["--predictions", str(tmp_path / "looks"), "--dots", str(tmp_path / "dots.csv")]


def test_solved(looked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "screen.json"
    assert main(["screen", *SCREEN, *looked, "--out", str(out)]) == 0
    values = json.loads(out.read_text())
    assert (values["dots"], values["looks"]) == (9, 27)
    assert values["held_out_mm"] < 0.6 * values["typed_mm"]
    assert np.rad2deg(values["bias"]) == pytest.approx([2, 1], abs=2)
    assert "27 looks at 9 dots" in capsys.readouterr().out


def test_typed_and_used(tmp_path: Path) -> None:
    out = tmp_path / "screen.json"
    assert main(["screen", *SCREEN, "--offset", "[0, 20, 0]", "--tilt", "10", "--out", str(out)]) == 0
    Image.new("RGB", (160, 120)).save(tmp_path / "a.png")
    words = ["predict", str(tmp_path / "a.png"), "--model", "gazenas-fast-64-5m", "--out", str(tmp_path / "out")]
    more = ["--finder", "tests.faces.people:OneFace", "--screen", str(out), "--no-draw"]
    assert main([*words, *more]) == 0
    row = json.loads((tmp_path / "out" / "predictions.jsonl").read_text())
    origin, gaze = (np.array([row[f"{name}_{axis}"] for axis in "xyz"]) for name in ("origin", "gaze"))
    values = json.loads(out.read_text())
    rotation, corner = np.array(values["rotation"]), np.array(values["translation"])
    # Where the ray's third coordinate in the screen's frame becomes 0.
    start, along = rotation.T @ (origin - corner), rotation.T @ gaze
    met = start - along * start[2] / along[2]
    assert [row["screen_x_mm"], row["screen_y_mm"]] == pytest.approx(met[:2], abs=0.5)
    assert row["screen_x"] == pytest.approx(met[0] * 1920 / 531, abs=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--size-mm", "[531]"], "--size-mm: expected 2 numbers"),
        (["--size-mm", "[-1, 3]"], "--size-mm: expected 2 numbers above 0"),
        (["--pixels", "[0, 3]"], "--pixels"),
        (["--offset", "[1, 2]"], "--offset: expected 3"),
        (["--tilt", "100"], "--tilt"),
        (["--dots", "dots.csv"], "--dots: expected with --predictions"),
        (["--predictions", "nowhere", "--dots", "nowhere.csv"], "no such file"),
        (["--out", "screen.txt"], "--out: expected FILE.json"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in run_bad(["screen", *SCREEN, "--out", str(tmp_path / "screen.json"), *words], capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected rows"),
        ("x,y\n1,2\n", "source or frame"),
        ("source,x\n00.jpg,2\n", "x and y"),
        ("source,x,y\n00.jpg,2,a\n", "y: expected a number"),
        ("source,x,y\nnobody.jpg,2,3\n", "none that has a gaze"),
        ("source,x,y\n00.jpg,2,3\n", "4 dots or more, found 1"),
    ],
)
def test_damaged_dots(
    looked: list[str], text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dots.csv").write_text(text)
    assert said in run_bad(["screen", *SCREEN, *looked, "--out", str(tmp_path / "screen.json")], capsys)
    assert not (tmp_path / "screen.json").exists()
