"""What ``collect`` stores: whole or not there, gone on with, deleted, nobody taken for another person."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gazenas.data.normalization.cameras import assume_camera
from gazenas.data.readers import open_data
from gazenas.errors import InputError
from gazenas.faces.face_models import FACE_MODELS
from gazenas.faces.live import storage
from gazenas.faces.live.plan import GRIDS, check_dots, dot_place
from gazenas.faces.live.storage import Collection, place_screen
from gazenas.faces.screen import guess_screen, read_screen, write_screen
from gazenas.gaze import angular_error
from tests.faces.people import SIX, Known, OneFace, face_at, head_at

PIXELS, WIDTH = [1280, 720], 531.0


def picture(size: tuple[int, int] = (160, 120), gray: int = 90, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (gray, gray, gray)).save(file, kind)
    return file.getvalue()


def collection(folder: Path, **words: Any) -> Collection:
    return Collection(folder, words.pop("finder", OneFace()), **({"total": 3} | words))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_pictures_become_faces_with_gaze(tmp_path: Path) -> None:
    """The gaze of each is the direction from the face center, whose place is known here, to the dot on the screen."""
    heads = [
        head_at(*place, turn=turn) for place, turn in [((80, -40, 700), (0.1, 0.2, 0)), ((-30, 9, 520), (0, 0, 0))]
    ]
    out, camera = collection(tmp_path / "out"), assume_camera(640, 480)
    true = {}
    for person, head in zip(("anna", "bob"), heads, strict=True):
        out.finder = Known(face_at(camera, *head))
        progress = out.begin(person, "", PIXELS, WIDTH)
        for _ in range(3):
            dot = np.array(progress["dot"]) * PIXELS
            x, y = dot / PIXELS[0] * WIDTH  # mm from the top left corner, as the person sees it
            true[person, progress["taken"]] = np.array([WIDTH / 2 - x, 10 + y, 0]) - SIX.center(*head)
            progress = out.add(picture((640, 480)), dot)
        assert progress["dot"] is None
    out.close()
    opened = open_data(tmp_path / "out")
    split = opened.split("all")
    assert split.gaze is not None
    assert (opened.dataset, opened.group, split.people) == ("collected", "person", ["anna", "bob"])
    assert split.sessions == ["anna/1", "bob/1"]
    for row in range(len(split)):
        direction = true[split.people[split.person[row]], row % 3]
        seen = split.columns["face_mat_norm"][row] @ direction
        assert angular_error(split.gaze[row][None], seen[None])[0] < 0.05
    assert split.images(np.arange(6)).shape == (6, 224, 224, 3)


def test_a_better_screen_gives_better_labels(tmp_path: Path) -> None:
    out = collection(tmp_path / "out", total=1)
    out.begin("anna", "", PIXELS, WIDTH)
    out.add(picture(), [640, 360])
    out.close()
    before = open_data(tmp_path / "out").split("all").gaze
    moved = guess_screen((WIDTH, WIDTH * 9 / 16), (1280, 720), (0, 110, 0), 0)  # 100 mm lower, at 700 mm
    write_screen(tmp_path / "out" / "anna" / "1" / "screen.json", moved, {"known_from": "dots"})
    after = open_data(tmp_path / "out").split("all").gaze
    assert before is not None
    assert after is not None
    assert np.rad2deg(before[0, 0] - after[0, 0]) == pytest.approx(
        np.rad2deg(np.arctan2(259, 700) - np.arctan2(159, 700)), abs=0.3
    )


def test_the_same_people_whatever_comes_later(tmp_path: Path) -> None:
    """More pictures, another session: the data set goes on being known by the same fingerprint."""
    out = collection(tmp_path / "out", total=1)
    out.begin("anna", "", PIXELS, WIDTH)
    out.add(picture(), [1, 2])
    first = open_data(tmp_path / "out").fingerprint
    assert out.begin("ANNA", "", PIXELS, WIDTH)["person"] == "anna"
    out.add(picture(), [1, 2])
    split = open_data(tmp_path / "out")
    assert (split.fingerprint, split.split("all").people) == (first, ["anna"])
    assert split.split("all").sessions == ["anna/1", "anna/2"]
    other = collection(tmp_path / "other", total=1)
    other.begin("anna", "", PIXELS, WIDTH)
    other.add(picture(), [1, 2])
    assert open_data(tmp_path / "other").fingerprint != first


def test_resumed_where_it_was_left(tmp_path: Path) -> None:
    out = collection(tmp_path / "out", dots=5)
    assert files(tmp_path / "out") == ["collected.json"]
    places = [out.begin("anna", "", PIXELS, WIDTH)["dot"]]
    places.append(out.add(picture(), [10, 20])["dot"])
    out.close()
    again = collection(tmp_path / "out", total=50)  # a session's own number stays
    progress = again.begin("anna", "", PIXELS, WIDTH)
    assert (progress["session"], progress["taken"], progress["total"], progress["dot"]) == ("1", 1, 3, places[1])
    assert again.undo()["dot"] == places[0]
    assert files(tmp_path / "out" / "anna") == ["1/dots.csv", "1/screen.json", "1/session.json"]
    for number in range(3):
        again.add(picture(kind="PNG" if number else "JPEG"), [10, 20])
    with pytest.raises(InputError, match="at most 3"):
        again.add(picture(), [10, 20])
    with pytest.raises(InputError, match="all of its 3"):
        again.begin("anna", "1", PIXELS, WIDTH)
    assert again.begin("anna", "", PIXELS, WIDTH)["session"] == "2"
    assert [path for path in files(tmp_path / "out") if path.endswith("g")] == [
        "anna/1/0001.jpg",
        "anna/1/0002.png",
        "anna/1/0003.png",
    ]


@pytest.mark.parametrize("point", ["screen.json", "dots.csv", "session.json", "0001.jpg"])
def test_killed_while_a_picture_is_written(point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each file: the pictures before it are all there, and the session goes on."""
    out = collection(tmp_path / "out")
    out.begin("anna", "", PIXELS, WIDTH)
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        if Path(target).name == point:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        out.add(picture(), [10, 20])
    monkeypatch.undo()
    out.close()
    (tmp_path / "out" / "anna" / "1" / ".0001.jpg.77.part").write_bytes(b"half")
    again = collection(tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.part"))
    assert again.begin("anna", "", PIXELS, WIDTH)["taken"] == 0
    for taken in (1, 2, 3):
        assert again.add(picture(), [10, 20])["taken"] == taken
    assert len(open_data(tmp_path / "out").split("all")) == 3


def test_deleted(tmp_path: Path) -> None:
    out = collection(tmp_path / "out", total=1)
    for person in ("anna", "bob", "bob"):
        out.begin(person, "", PIXELS, WIDTH)
        out.add(picture(), [10, 20])
    out.delete("bob", "1")
    out.delete("anna", "1")
    assert {path.split("/")[0] for path in files(tmp_path / "out")} == {"bob", "collected.json"}
    assert out.people() == [{"person": "bob", "session": "2", "taken": 1, "total": 1}]
    for person, session in [("anna", "1"), ("bob", "1"), ("..", "out"), ("bob/2", "x"), (None, "2"), ("bob", ".")]:
        with pytest.raises(InputError, match="expected"):
            out.delete(person, session)
    assert len(out.people()) == 1


BAD_NAMES = [
    "",
    " ",
    "..",
    ".",
    "../x",
    "a/b",
    "a\\b",
    "/etc",
    "-rf",
    ".x",
    "a\x00b",
    "a\nb/",
    "x" * 61,
    None,
    7,
    "a:b",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_no_folder_s(name: object, tmp_path: Path) -> None:
    out = collection(tmp_path / "out")
    with pytest.raises(InputError, match="person: expected 1 to 60 letters"):
        out.begin(name, "", PIXELS, WIDTH)
    if name:
        with pytest.raises(InputError, match="session: expected 1 to 60 letters"):
            out.begin("anna", name, PIXELS, WIDTH)
    assert files(tmp_path) == ["out/collected.json"]


def test_a_link_that_leads_out(tmp_path: Path) -> None:
    out = collection(tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "anna").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="link that leads out"):
        out.begin("anna", "", PIXELS, WIDTH)
    assert files(tmp_path / "elsewhere") == []


def test_pictures_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = collection(tmp_path / "out")
    with pytest.raises(InputError, match="a measurement that was begun"):
        out.add(picture(), [1, 1])
    out.begin("anna", "", PIXELS, WIDTH)
    monkeypatch.setattr(storage, "MOST_PIXELS", 100_000)
    for data, said in [
        (b"", "JPEG or PNG picture, found 0 bytes"),
        (b"noise" * 99, "JPEG or PNG"),
        (picture()[:-200], "JPEG or PNG"),
        (picture(kind="BMP"), "JPEG or PNG"),
        (picture((640, 480)), "at most 100000 pixels"),
        (picture(gray=3), "black: is the lid closed"),
        (picture((20, 20)), "no face was found"),
    ]:
        with pytest.raises(InputError, match=said):
            out.add(data, [1, 1])
    for dot in ([1], [-1, 5], [5, 721], [float("nan"), 1]):
        with pytest.raises(InputError, match="a place on the screen"):
            out.add(picture(), dot)
    assert files(tmp_path) == ["out/collected.json"]
    out.add(picture(), [1280, 720])
    with pytest.raises(InputError, match=r"pictures of \[160, 120\] pixels as before"):
        out.add(picture((120, 160)), [1, 1])


def test_folders_that_are_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    for name in ("thesis", "file"):
        with pytest.raises(InputError, match="a new folder or one of collect"):
            collection(tmp_path / name)
    out = collection(tmp_path / "out")
    with pytest.raises(InputError, match="another 'gazenas collect' writes"):
        collection(tmp_path / "out")
    out.close()
    finder = Known()
    finder.face_model = FACE_MODELS["rendered68"]
    with pytest.raises(InputError, match="expected the face model rendered68"):
        collection(tmp_path / "out", finder=finder)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "x"


def test_screens(tmp_path: Path) -> None:
    given = guess_screen((531, 299), (1280, 720), (0, 20, 0), 0.1)
    write_screen(tmp_path / "screen.json", given, {})
    assert place_screen(given, PIXELS, 0) is given
    with pytest.raises(InputError, match="not zoomed"):
        place_screen(given, [1422, 800], 0)
    for pixels, width in [([], 500.0), ([1280], 500.0), ([1280, 9], 500.0), (PIXELS, 0.0), (PIXELS, 1e9)]:
        with pytest.raises(InputError, match="screen: expected a width"):
            place_screen(None, pixels, width)
    typed = place_screen(None, [1920, 1080], 480)
    np.testing.assert_allclose(typed.screen.target(np.array([960.0, 0.0])), [0, 10, 0], atol=1e-9)
    np.testing.assert_allclose(typed.screen.target(np.array([0.0, 1080.0])), [240, 280, 0], atol=1e-9)
    out = collection(tmp_path / "out", screen=given)
    out.begin("anna", "", PIXELS, 0.0)
    out.add(picture(), [1, 1])
    stored = read_screen(tmp_path / "out" / "anna" / "1" / "screen.json")
    np.testing.assert_allclose(stored.screen.rotation, given.screen.rotation)
    out.screen = None
    with pytest.raises(InputError, match="begun on a screen of"):
        out.begin("anna", "", [1920, 1080], WIDTH)


def test_a_camera_that_is_known(tmp_path: Path) -> None:
    """Twice the focal length, twice as far; the session keeps its camera."""
    camera = assume_camera(160, 120)
    far = collection(
        tmp_path / "far", camera=type(camera)(camera.matrix * [[2, 1, 1], [1, 2, 1], [1, 1, 1]], np.zeros(0))
    )
    near = collection(tmp_path / "near")
    for out in (far, near):
        out.begin("anna", "", PIXELS, WIDTH)
        out.add(picture(), [10, 10])
    depths = [float(out.current.rows[0]["head_translation_z"]) for out in (far, near) if out.current]
    assert depths[0] == pytest.approx(2 * depths[1], rel=0.05)
    far.camera = None
    far.add(picture(), [10, 10])
    assert far.current is not None
    assert float(far.current.rows[1]["head_translation_z"]) == pytest.approx(depths[0])
    about = json.loads((tmp_path / "near" / "anna" / "1" / "session.json").read_text())
    assert about["camera"]["known_from"].startswith("assumed")


@pytest.mark.parametrize("count", [0, *GRIDS])
def test_dots(count: int) -> None:
    check_dots(count)
    places = np.array([dot_place("anna/1", number, count) for number in range(100)])
    assert places.min() >= 0.04 - 1e-9
    assert places.max() <= 0.96 + 1e-9
    np.testing.assert_array_equal(places[7], dot_place("anna/1", 7, count))
    assert not np.array_equal(places[: count or 9], [dot_place("bob/1", number, count) for number in range(count or 9)])
    if count:
        rounds = [np.unique(places[start : start + count].round(6), axis=0) for start in (0, count)]
        np.testing.assert_array_equal(*rounds)
        assert len(rounds[0]) == count
        np.testing.assert_allclose(rounds[0].mean(0), 0.5)
    else:
        assert len(np.unique(places.round(6), axis=0)) == 100


def test_dots_that_are_no_grid() -> None:
    with pytest.raises(InputError, match="--dots: expected 0"):
        check_dots(7)
