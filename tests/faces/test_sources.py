"""What a word of the command line stands for, and what comes out of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gazenas.data.normalization.cameras import assume_camera
from gazenas.errors import InputError
from gazenas.faces.frame import Frame
from gazenas.faces.landmark_file import KnownFaces
from gazenas.faces.sources import open_source
from tests.faces.people import face_at, head_at, write_landmarks

FILMS = pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="opencv is not installed")


def picture(path: Path, value: int = 90, size: tuple[int, int] = (32, 24)) -> Path:
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


def film(path: Path, frames: int = 10, fps: float = 20.0) -> Path:
    """Frame n is n * 20 gray, so that each can be told."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), min(255, 20 * number), np.uint8))
    writer.release()
    return path


def test_folders_patterns_and_files(tmp_path: Path) -> None:
    for number, name in enumerate(("b.png", "a.jpg", "c.bmp")):
        picture(tmp_path / name, 10 * number)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:200])
    frames = list(open_source(str(tmp_path)).frames())
    assert [frame.source for frame in frames] == ["a.jpg", "b.png", "c.bmp", "cut.jpg"]
    assert [frame.number for frame in frames] == [0, 1, 2, 3]
    assert [frame.image is None for frame in frames] == [False, False, False, True]
    assert "cut.jpg" in frames[3].reason
    assert [frame.number for frame in open_source(str(tmp_path)).frames(every=2)] == [0, 2]
    assert [frame.number for frame in open_source(str(tmp_path)).frames(most=3)] == [0, 1, 2]
    assert [Path(frame.source).name for frame in open_source(f"{tmp_path}/*.png").frames()] == ["b.png"]
    (frame,) = open_source(str(tmp_path / "b.png")).frames()
    assert frame.image is not None
    assert frame.image.shape == (24, 32, 3)


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing.mp4").touch()
    for word, said in (
        (f"{tmp_path}/none.jpg", "found no file"),
        (f"{tmp_path}/*.jpg", "found no file"),
        (f"{tmp_path}/empty", "folder with images"),
        (f"{tmp_path}/nothing.mp4", "empty file"),
    ):
        with pytest.raises(InputError, match=said):
            open_source(word)


@FILMS
def test_films(tmp_path: Path) -> None:
    source = open_source(str(film(tmp_path / "film.mp4")))
    assert (source.kind, source.count, source.fps, source.size) == ("film", 10, 20.0, (64, 48))
    frames = list(source.frames())
    for number, frame in enumerate(frames):
        assert frame.image is not None
        assert frame.number == number
        assert frame.time == pytest.approx(number / 20, abs=1e-3)
        assert abs(float(frame.image.mean()) - 20 * number) < 4
    again = open_source(str(tmp_path / "film.mp4")).frames(every=4)
    assert [(frame.number, round(frame.time, 3)) for frame in again] == [(0, 0.0), (4, 0.2), (8, 0.4)]


@FILMS
def test_colors_of_films_are_rgb(tmp_path: Path) -> None:
    import cv2

    writer = cv2.VideoWriter(str(tmp_path / "red.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), (0, 0, 220), np.uint8))
    writer.release()
    frame = next(open_source(str(tmp_path / "red.avi")).frames())
    assert frame.image is not None
    assert frame.image[..., 0].mean() > 180
    assert frame.image[..., 2].mean() < 60


@FILMS
def test_damaged_films_and_absent_cameras(tmp_path: Path) -> None:
    whole = film(tmp_path / "film.mp4", frames=40).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    for name in ("cut.mp4", "noise.mp4"):
        with pytest.raises(InputError, match="expected"):
            list(open_source(str(tmp_path / name)).frames())
    with pytest.raises(InputError, match="camera 93"):
        open_source("93")


@FILMS
def test_a_film_that_ends_early_says_so(tmp_path: Path) -> None:
    source = open_source(str(film(tmp_path / "film.mp4")))
    source.count = 14
    last = list(source.frames())[-1]
    assert last.image is None
    assert "says 14 frames, 10 of which can be read" in last.reason


def test_known_faces(tmp_path: Path) -> None:
    camera = assume_camera(64, 48)
    face = face_at(camera, *head_at(), id=3)
    write_landmarks(tmp_path / "faces.csv", [("a.png", face), ("b.png", face), ("b.png", face)])
    known = KnownFaces(tmp_path / "faces.csv")
    assert known.face_model.name == "mediapipe6"
    image = np.zeros((48, 64, 3), np.uint8)
    frames = [Frame(image, source=source) for source in ("x/a.png", "b.png", "c.png")]
    placed = [frame.faces for frame in known.placed(frames)]
    assert [len(faces or ()) for faces in placed] == [1, 2, 0]
    assert placed[0] is not None
    np.testing.assert_allclose(placed[0][0].landmarks, face.landmarks, atol=1e-3)
    assert placed[0][0].id == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "header"),
        ("x0,y0\n1,2\n", "source or frame"),
        ("frame,x0,y0\n0,1,2\n", "6, 68, 468 of a face, found 1"),
        ("frame," + ",".join(f"x{n},y{n}" for n in range(6)) + "\n0,1,2,3\n", "faces.csv:2: expected numbers"),
        ("frame," + ",".join(f"x{n},y{n}" for n in range(6)) + "\n0" + ",nan" * 12 + "\n", "finite"),
        ("frame,face," + ",".join(f"x{n},y{n}" for n in range(6)) + "\n0,-4" + ",1" * 12 + "\n", "face number"),
    ],
)
def test_damaged_landmarks(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "faces.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        KnownFaces(tmp_path / "faces.csv")


def test_absent_landmarks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        KnownFaces(tmp_path / "faces.csv")
