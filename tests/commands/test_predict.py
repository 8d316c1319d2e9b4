"""``gazenas predict`` as a person runs it: pictures, films, landmarks, and everything that can be wrong with them."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from gazenas.__main__ import main
from gazenas.data.normalization.cameras import assume_camera
from gazenas.data.synthetic.head import build_head
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.photography import Sitter, photograph
from gazenas.data.synthetic.scene import sample_scene
from gazenas.faces.face import Face, box_around
from gazenas.gaze import angular_error
from tests.faces.people import face_at, head_at, write_landmarks
from tests.faces.windows import Screen
from tests.running import run_bad

MODEL = "gazenas-fast-64-5m"
FINDER = ["--finder", "tests.faces.people:OneFace"]
FILMS = pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="opencv is not installed")


def predict(source: object, out: Path, *more: str, model: str = MODEL) -> list[str]:
    return ["predict", str(source), "--model", model, "--out", str(out), *more]


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [{key: "" if value is None else str(value) for key, value in line.items()} for line in lines] == rows
    return rows


def gray(path: Path, size: tuple[int, int] = (160, 120)) -> Path:
    Image.new("RGB", size, (90, 90, 90)).save(path)
    return path


def test_two_people_whose_gaze_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rendered, with the true landmarks: the error in the camera's frame is that of the given patch, about."""
    rng = np.random.default_rng(4)
    camera = assume_camera(480, 360)
    sitters = []
    for x in (-130.0, 120.0):
        scene = replace(sample_scene(rng), head_pose=tuple(rng.uniform(-0.2, 0.2, 2)), noise=1.0)
        sitters.append(Sitter(build_head(sample_person(rng)), scene, np.array([x, 10.0, 650.0]), 0.1))
    photo, truths = photograph(sitters, camera, 480, 360)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    faces = [Face(box_around(t.landmarks), 1.0, t.landmarks, id=number) for number, t in enumerate(truths)]
    write_landmarks(tmp_path / "faces.csv", [("photo.png", face) for face in faces])
    more = ["--landmarks", str(tmp_path / "faces.csv"), "--face-model", "rendered68"]
    assert main(predict(tmp_path / "photo.png", tmp_path / "out", *more)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Trained on rendered faces" in said
    assert "focal length 480 pixels, assumed" in said
    assert "does not say with which face model" in said
    rows = rows_of(tmp_path / "out")
    assert {(row["face"], row["status"]) for row in rows} == {("0", "ok"), ("1", "ok")}
    for row in rows:
        truth = truths[int(row["face"])]
        gaze = np.array([[float(row[f"gaze_{axis}"]) for axis in "xyz"]])
        assert angular_error(gaze, truth.direction[None])[0] < 20
        origin = np.array([float(row[f"origin_{axis}"]) for axis in "xyz"])
        assert np.linalg.norm(origin - truth.view.center) < 0.12 * 650
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["rows"] == {"ok": 2}
    assert summary["face_model"]["name"] == "rendered68"
    with Image.open(tmp_path / "out" / "pictures" / "photo.jpg") as drawn:
        assert drawn.size == (480, 360)


@pytest.mark.parametrize("kind", ["L", "CMYK", "RGBA", "P", "I;16", "LA", "1"])
def test_all_kinds_of_pictures(kind: str, tmp_path: Path) -> None:
    pixels = np.tile(np.linspace(0, 255, 160).astype(np.uint8), (120, 1))
    picture = Image.fromarray(pixels)
    if kind == "I;16":
        picture = Image.fromarray(pixels.astype(np.uint16) * 257)
    elif kind == "CMYK":
        picture = picture.convert("RGB").convert(kind)
    else:
        picture = picture.convert(kind)
    path = tmp_path / f"photo.{'jpg' if kind == 'CMYK' else 'png'}"
    picture.save(path)
    assert main(predict(path, tmp_path / "out", *FINDER)) == 0
    assert [row["status"] for row in rows_of(tmp_path / "out")] == ["ok"]


def test_the_lens_in_exif_and_the_turn(tmp_path: Path) -> None:
    """A photo that lies on its side comes out upright; its lens gives the distance."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 50
    Image.new("RGB", (160, 120), (90, 90, 90)).save(tmp_path / "photo.jpg", exif=exif)
    assert main(predict(tmp_path / "photo.jpg", tmp_path / "out", *FINDER)) == 0
    with Image.open(tmp_path / "out" / "pictures" / "photo.jpg") as drawn:
        assert drawn.size == (120, 160)
    (row,) = rows_of(tmp_path / "out")
    focal = 50 / 43.27 * 200  # of the diagonal; the finder's face is 700 mm away at the longer side's 160 pixels
    assert float(row["distance"]) == pytest.approx(700 * focal / 160, rel=0.03)
    (said,) = json.loads((tmp_path / "out" / "summary.json").read_text())["cameras"]
    assert "by EXIF (50 mm" in said


def test_a_camera_of_one_s_own(tmp_path: Path) -> None:
    camera = {"matrix": [[320, 0, 79.5], [0, 320, 59.5], [0, 0, 1]], "distortion": [0.01, 0, 0, 0]}
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    more = [*FINDER, "--camera", str(tmp_path / "camera.json")]
    assert main(predict(gray(tmp_path / "a.png"), tmp_path / "out", *more)) == 0
    (row,) = rows_of(tmp_path / "out")
    assert float(row["distance"]) == pytest.approx(1400, rel=0.03)


def test_photos_are_shown_until_q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three photos, a key for the first and q for the second: these two are written, undrawn as asked."""
    screen = Screen(-1, ord("n"), ord("q"))
    monkeypatch.setitem(sys.modules, "cv2", screen)  # type: ignore[arg-type]
    monkeypatch.setenv("DISPLAY", ":0")
    for name in "abc":
        gray(tmp_path / f"{name}.png")
    assert main(predict(tmp_path, tmp_path / "out", *FINDER, "--show", "--no-draw")) == 0
    assert [row["source"] for row in rows_of(tmp_path / "out")] == ["a.png", "b.png"]
    assert not (tmp_path / "out" / "pictures").exists()
    assert [shown.shape for shown in screen.shown] == [(120, 160, 3)] * 2
    assert any((shown != 90).any() for shown in screen.shown)


def test_without_windows_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", Screen(framework=""))  # type: ignore[arg-type]
    said = run_bad(predict(gray(tmp_path / "a.png"), tmp_path / "out", *FINDER, "--show"), capsys)
    assert "gazenas collect" in said
    assert not (tmp_path / "out").exists()


def test_how_sure_it_is_stands_in_the_rows(tmp_path: Path) -> None:
    gray(tmp_path / "a.png")
    assert main(predict(tmp_path / "a.png", tmp_path / "out", *FINDER)) == 0
    (row,) = rows_of(tmp_path / "out")
    assert 0 < float(row["confidence"]) <= 1
    assert "moved by 2%" in json.loads((tmp_path / "out" / "summary.json").read_text())["confidence"]
    assert main(predict(tmp_path / "a.png", tmp_path / "less", *FINDER, "--no-confidence")) == 0
    (less,) = rows_of(tmp_path / "less")
    assert less["confidence"] == ""
    assert float(less["pitch"]) == pytest.approx(float(row["pitch"]), abs=1e-5)


def test_lines_of_json_as_they_come(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gray(tmp_path / "a.png")
    gray(tmp_path / "b.png", (16, 16))
    (tmp_path / "c.png").write_bytes(b"no image")
    assert main(predict(tmp_path, tmp_path / "out", *FINDER, "--json", "-", "--no-draw")) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["source"], line["status"]) for line in lines] == [
        ("a.png", "ok"),
        ("b.png", "no_face"),
        ("c.png", "unreadable"),
    ]
    assert not (tmp_path / "out" / "pictures").exists()


def test_an_onnx_file_and_its_face_model(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It was exported with a face model: another one is refused unless asked for."""
    file = str(exported)
    gray(tmp_path / "a.png")
    assert "--any-face-model" in run_bad(predict(tmp_path / "a.png", tmp_path / "out", *FINDER, model=file), capsys)
    assert not (tmp_path / "out").exists()
    same = predict(tmp_path / "a.png", tmp_path / "same", *FINDER, "--face-model", "rendered68", model=file)
    assert main(same) == 0
    trained = json.loads((tmp_path / "same" / "summary.json").read_text())["trained_on"]
    assert re.fullmatch(r"Trained on people: \d+ of the data set \w+.*", trained)
    assert "face model" not in capsys.readouterr().out
    other = predict(tmp_path / "a.png", tmp_path / "other", *FINDER, "--any-face-model", model=file)
    assert main(other) == 0
    assert "constant angle" in capsys.readouterr().out


@FILMS
def test_films_are_followed_and_drawn(tmp_path: Path) -> None:
    import cv2

    writer = cv2.VideoWriter(str(tmp_path / "film.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (160, 120))
    for number in range(8):
        writer.write(np.full((120, 160, 3), 20 * number, np.uint8))
    writer.release()
    more = [*FINDER, "--smooth", "one-euro", "--every", "2"]
    assert main(predict(tmp_path / "film.mp4", tmp_path / "out", *more)) == 0
    rows = rows_of(tmp_path / "out")
    assert [(row["frame"], row["face"], row["status"]) for row in rows] == [
        (str(number), "0", "ok") for number in (0, 2, 4, 6)
    ]
    assert [float(row["time"]) for row in rows] == pytest.approx([0, 0.2, 0.4, 0.6], abs=1e-3)
    drawn = cv2.VideoCapture(str(tmp_path / "out" / "film.mp4"))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    assert drawn.get(cv2.CAP_PROP_FPS) == pytest.approx(5)


def test_boxes_are_looked_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One box holds the face, the other none: a row each, with its number; a prediction's own file goes, too."""
    lines = "source,face,status,box_x,box_y,box_width,box_height\n"
    lines += "a.png,7,ok,60,40,40,40\na.png,8,ok,0,0,9,9\nb.png,,no_face,,,,\n"
    (tmp_path / "faces.csv").write_text(lines)
    gray(tmp_path / "a.png")
    gray(tmp_path / "b.png")
    boxes = ["--landmarks", str(tmp_path / "faces.csv")]
    assert main(predict(tmp_path, tmp_path / "out", "--finder", "tests.faces.people:InBox", *boxes)) == 0
    rows = rows_of(tmp_path / "out")
    assert [(row["source"], row["face"], row["status"]) for row in rows] == [
        ("a.png", "7", "ok"),
        ("a.png", "8", "no_face"),
        ("b.png", "", "no_face"),
    ]
    assert "within its box" in rows[1]["reason"]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["finder"], summary["boxes"]) == ("tests.faces.people:InBox", boxes[1])
    again = ["--landmarks", str(tmp_path / "out" / "predictions.csv"), "--finder", "tests.faces.people:InBox"]
    assert main(predict(tmp_path, tmp_path / "again", *again)) == 0
    assert [row["status"] for row in rows_of(tmp_path / "again")] == ["ok", "no_face", "no_face"]
    said = run_bad(predict(tmp_path, tmp_path / "more", *FINDER, *boxes), capsys)
    assert "--finder mediapipe" in said


def camera_file(text: object) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / "camera.json").write_text(text if isinstance(text, str) else json.dumps(text))
        return [str(gray(folder / "a.png")), "--camera", str(folder / "camera.json")]

    return make


def landmark_file(text: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / "faces.csv").write_text(text)
        return [str(gray(folder / "a.png")), "--landmarks", str(folder / "faces.csv")]

    return make


def source(name: str, data: bytes | None = None) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        if data is not None:
            (folder / name).write_bytes(data)
        return [str(folder / name)]

    return make


def words(*more: str) -> Callable[[Path], list[str]]:
    return lambda folder: [str(gray(folder / "a.png")), *(word.replace("DIR", str(folder)) for word in more)]


def empty_folder(folder: Path) -> list[str]:
    (folder / "empty").mkdir()
    return [str(folder / "empty")]


SIX_POINTS = ",".join(f"x{number},y{number}" for number in range(6))
BOXES = "source,box_x,box_y,box_width,box_height\n"
SQUARE = [[500, 0, 80], [0, 500, 60], [0, 0, 1]]
REFUSED: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "no such source": (source("none.jpg"), "found no file"),
    "no such pattern": (source("*.jpg"), "found no file"),
    "an empty folder": (empty_folder, "folder with images"),
    "an empty film": (source("film.mp4", b""), "empty file"),
    "no film": (source("film.mp4", b"noise" * 100), "cannot be opened|needs opencv"),
    "no image by name": (source("text", b"hello"), "cannot be opened|needs opencv"),
    "no such camera": (lambda folder: ["93"], "camera 93"),
    "no camera file": (words("--camera", "DIR/none.json"), "no such file"),
    "camera: no JSON": (camera_file("{"), "expected JSON"),
    "camera: a list": (camera_file([1, 2]), "JSON object"),
    "camera: no matrix": (camera_file({}), "matrix"),
    "camera: a flat matrix": (camera_file({"matrix": [1, 2, 3]}), "matrix: expected finite numbers of shape"),
    "camera: words": (camera_file({"matrix": [["a"] * 3] * 3}), "matrix: expected numbers"),
    "camera: not finite": (camera_file({"matrix": [[1e400, 0, 1], [0, 1, 1], [0, 0, 1]]}), "matrix: expected finite"),
    "camera: no focal length": (camera_file({"matrix": [[0, 0, 1], [0, 1, 1], [0, 0, 1]]}), "focal lengths above 0"),
    "camera: last row": (camera_file({"matrix": [[9, 0, 1], [0, 9, 1], [0, 0, 2]]}), "last row"),
    "camera: three bends": (camera_file({"matrix": SQUARE, "distortion": [1, 2, 3]}), "distortion: expected 4 or 5"),
    "camera: of another size": (
        camera_file({"matrix": [[500, 0, 640], [0, 500, 360], [0, 0, 1]]}),
        "principal point within the 160 x 120",
    ),
    "no landmarks": (words("--landmarks", "DIR/none.csv"), "no such file"),
    "landmarks: empty": (landmark_file(""), "header"),
    "landmarks: no names": (landmark_file("x0,y0\n1,2\n"), "source or frame"),
    "landmarks: neither these nor boxes": (landmark_file("source,left\na.png,1\n"), "found left"),
    "boxes: words": (landmark_file(BOXES + "a.png,a,b,c,d\n"), "expected numbers"),
    "boxes: flat": (landmark_file(BOXES + "a.png,1,2,0,4\n"), "width and height above 0, found 0 x 4"),
    "boxes: not finite": (landmark_file(BOXES + "a.png,1,2,inf,4\n"), "expected finite"),
    "boxes: half a row": (landmark_file(BOXES + "a.png,1,2,,4\n"), "expected numbers"),
    "landmarks: five": (
        landmark_file("source," + ",".join(f"x{n},y{n}" for n in range(5)) + "\na.png" + ",1" * 10),
        "6, 68, 468 of a face, found 5",
    ),
    "landmarks: words": (
        landmark_file("source," + ",".join(f"x{n},y{n}" for n in range(6)) + "\na.png" + ",z" * 12),
        "expected numbers",
    ),
    "no such model": (words("--model", "nobody"), "unknown subnet"),
    "no such ONNX file": (words("--model", "DIR/none.onnx"), "no such file"),
    "no ONNX file": (words("--model", "DIR/a.onnx"), "no such file|expected an ONNX"),
    "a comparator without weights": (words("--model", "gazetr-hybrid"), "expected a network with weights"),
    "no such finder": (words("--finder", "nobody"), "--finder"),
    "no such module": (words("--finder", "nobody.at.all:Finder"), "No module"),
    "no such face model": (words("--face-model", "DIR/none.txt"), "--face-model: expected a file"),
    "files that are not there": (
        words("--finder", "mediapipe", "--finder-files", "DIR"),
        "face_landmark.tflite|ai_edge_litert",
    ),
    "no such smoothing": (words("--smooth", "much"), "--smooth"),
    "photos smoothed": (words("--smooth", "one-euro"), "--smooth: expected with a film"),
    "landmarks have no irises": (
        lambda folder: [*landmark_file("source," + SIX_POINTS + "\na.png" + ",1" * 12)(folder), "--with", "iris"],
        "--with iris",
    ),
    "no such second opinion": (words("--with", "nose"), "--with"),
    "no such output": (words("--json", "file"), "--json"),
    "a person who is not there": (words("--user", "DIR/anna.safetensors"), "anna"),
    "a file as folder": (words("--out", "DIR/a.png"), "expected a folder"),
    "no frames": (words("--every", "0"), "every"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_said_and_nothing_is_written(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, said = REFUSED[case]
    given = make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    told = run_bad(["predict", "--model", MODEL, "--out", str(tmp_path / "out"), *FINDER, *given], capsys)
    assert any(part in told.replace("\n", " ") for part in said.split("|")), told
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "out").exists()


def jpeg(folder: Path, kept: float) -> Path:
    path = folder / "photo.jpg"
    Image.effect_noise((160, 120), 50).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    return path


def bomb(folder: Path) -> Path:
    """A PNG that says 60,000 pixels a side and holds none of them."""
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (folder / "photo.png").write_bytes(data)
    return folder / "photo.png"


def named(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


ROWS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a JPEG cut in half": (lambda folder: jpeg(folder, 0.5), "unreadable"),
    "a JPEG's first bytes": (lambda folder: jpeg(folder, 0.05), "unreadable"),
    "an empty JPEG": (named("photo.jpg", b""), "unreadable"),
    "a text that is called JPEG": (named("photo.jpg", b"hello"), "unreadable"),
    "a PNG's header alone": (named("photo.png", b"\x89PNG\r\n\x1a\n"), "unreadable"),
    "a GIF's header alone": (named("photo.gif", b"GIF89a"), "unreadable"),
    "a decompression bomb": (bomb, "unreadable"),
    "one pixel": (lambda folder: gray(folder / "photo.png", (1, 1)), "no_face"),
    "a line": (lambda folder: gray(folder / "photo.png", (20_000, 10)), "no_face"),
    "a column": (lambda folder: gray(folder / "photo.png", (1, 3000)), "no_face"),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_damaged_picture_is_a_row_with_a_status(case: str, tmp_path: Path) -> None:
    make, status = ROWS[case]
    path = make(tmp_path)
    assert main(predict(path, tmp_path / "out", *FINDER)) == 0
    (row,) = rows_of(tmp_path / "out")
    assert row["status"] == status
    assert bool(row["reason"]) == (status == "unreadable")
    assert row["pitch"] == ""


def test_forty_eight_pictures_with_wrong_bytes(tmp_path: Path) -> None:
    """Cut off, with bytes turned over, or with a piece left out, each of eight kinds: a row a picture, whatever is in
    it."""
    folder, rng = tmp_path / "pictures", np.random.default_rng(0)
    folder.mkdir()
    for kind in ("jpeg", "png", "gif", "bmp", "tiff", "webp", "ppm", "jp2"):
        whole = folder / f"whole.{kind}"
        Image.effect_noise((160, 120), 50).convert("RGB").save(whole)
        data = whole.read_bytes()
        whole.unlink()
        for number in range(2):
            at = int(rng.integers(4, len(data) - 40))
            turned = bytearray(data)
            for place in rng.integers(2, len(data), 20):
                turned[place] ^= 0xFF
            for name, damaged in (
                ("cut", data[:at]),
                ("turned", bytes(turned)),
                ("left out", data[:at] + data[at + 40 :]),
            ):
                (folder / f"{name} {number}.{kind}").write_bytes(damaged)
    assert main(predict(folder, tmp_path / "out", *FINDER, "--no-draw")) == 0
    rows = rows_of(tmp_path / "out")
    assert sorted(row["source"] for row in rows) == sorted(path.name for path in folder.iterdir())
    assert len(rows) == 48
    for row in rows:
        assert row["status"] in ("ok", "unreadable", "no_face")
        assert bool(row["reason"]) == (row["status"] == "unreadable")
    assert sum(row["status"] == "unreadable" for row in rows) >= 12


def moved(face: Face, change: Callable[[Any], Any]) -> Face:
    return replace(face, landmarks=change(face.landmarks.copy()))


LANDMARKS: dict[str, Callable[[Any], Any]] = {
    "far outside": lambda points: points + 5000,
    "a million pixels away": lambda points: points * 1e7,
    "left of the image": lambda points: points - [400, 0],
    "all in one place": lambda points: points * 0 + 50,
    "on a line": lambda points: np.stack([points[:, 0], points[:, 0]], 1),
    "in no order": lambda points: points[[5, 0, 4, 2, 1, 3]],
    "x and y exchanged": lambda points: points[:, ::-1],
}


@pytest.mark.parametrize("case", LANDMARKS)
def test_landmarks_of_no_face(case: str, tmp_path: Path) -> None:
    gray(tmp_path / "a.png")
    face = moved(face_at(assume_camera(160, 120), *head_at()), LANDMARKS[case])
    write_landmarks(tmp_path / "faces.csv", [("a.png", face)])
    assert main(predict(tmp_path / "a.png", tmp_path / "out", "--landmarks", str(tmp_path / "faces.csv"))) == 0
    (row,) = rows_of(tmp_path / "out")
    if case in ("on a line", "x and y exchanged"):  # as heads seen from the side, or lying on theirs, nearly have them
        assert all(np.isfinite(float(row[key])) for key in ("pitch", "yaw", "distance", "gaze_x"))
    else:
        assert (row["status"], row["pitch"]) == ("no_face", "")
        assert row["reason"]


ODD: dict[str, dict[str, Any]] = {
    "a telescope": {"matrix": [[1e9, 0, 80], [0, 1e9, 60], [0, 0, 1]]},
    "no focal length to speak of": {"matrix": [[1e-6, 0, 80], [0, 1e-6, 60], [0, 0, 1]]},
    "a sheared sensor": {"matrix": [[500, 1e5, 80], [0, 500, 60], [0, 0, 1]]},
    "a flat sensor": {"matrix": [[500, 0, 80], [0, 1e-3, 60], [0, 0, 1]]},
    "a lens that bends beyond numbers": {"matrix": SQUARE, "distortion": [1e300, 1e300, 0, 0, 0]},
}


@pytest.mark.parametrize("case", ODD)
def test_cameras_that_see_no_head(case: str, tmp_path: Path) -> None:
    (tmp_path / "camera.json").write_text(json.dumps(ODD[case]))
    more = [*FINDER, "--camera", str(tmp_path / "camera.json"), "--no-draw"]
    assert main(predict(gray(tmp_path / "a.png"), tmp_path / "out", *more)) == 0
    (row,) = rows_of(tmp_path / "out")
    assert row["status"] == "no_face"
    assert "expected" in row["reason"] or "found no head pose" in row["reason"]


def test_a_prediction_is_not_replaced_by_chance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gray(tmp_path / "a.png")
    assert main(predict(tmp_path / "a.png", tmp_path / "out", *FINDER)) == 0
    kept = (tmp_path / "out" / "predictions.csv").read_bytes()
    assert "--overwrite" in run_bad(predict(tmp_path / "a.png", tmp_path / "out", *FINDER), capsys)
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == kept
    assert main(predict(tmp_path / "a.png", tmp_path / "out", *FINDER, "--overwrite", "--no-draw")) == 0
    assert not (tmp_path / "out" / "pictures").exists()
