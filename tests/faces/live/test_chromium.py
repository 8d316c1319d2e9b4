"""The page in a real browser, before a fake camera: from a person at the screen to a trained, calibrated model."""

from __future__ import annotations

import importlib.util
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gazenas.__main__ import main
from gazenas.data.normalization.cameras import assume_camera
from gazenas.data.readers import open_data
from gazenas.data.synthetic.head import build_head
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.photography import Sitter, photograph, truth_of
from gazenas.data.synthetic.scene import sample_scene
from gazenas.faces.live.plan import dot_place
from gazenas.faces.live.storage import place_screen
from gazenas.faces.model_files import MESH_FILE, NEAR
from gazenas.files import cache_folder
from gazenas.gaze import angular_error
from tests.faces.chromium import Chromium, find_chromium, write_film
from tests.faces.live.serving import Collecting

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium"),
    pytest.mark.skipif(
        importlib.util.find_spec("ai_edge_litert") is None
        or not all((cache_folder() / "finders" / each.name).is_file() for each in (NEAR, MESH_FILE)),
        reason="the finder's networks are not in the cache folder: 'gazenas predict' fetches them",
    ),
]
PEOPLE, PICTURES = ("anna", "bob", "cleo"), 12
SCREEN, WIDTH = (1280, 720), 531.0
FRAME, FPS = (640, 480), 1  # slow: a frame must still be shown once its number has been read
BIT, BITS = 16, 4  # pixels of a bit of a frame's number, in its upper left corner
MODEL = "gazenas-fast-64-5m"
Array = NDArray[Any]


def numbered(frame: Array, number: int) -> Array:
    """The frame with its number in black and white squares."""
    frame = frame.copy()
    for bit in range(BITS):
        frame[:BIT, BIT * bit : BIT * (bit + 1)] = 255 * (number >> bit & 1)
    return frame


def number_of(picture: Path) -> int:
    with Image.open(picture) as opened:
        pixels = np.asarray(opened.convert("L"))
    return sum(int(pixels[BIT // 2, BIT * bit + BIT // 2] > 127) << bit for bit in range(BITS))


NUMBER = f"""(() => {{
  const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
  [canvas.width, canvas.height] = [{BIT * BITS}, {BIT}];
  pen.drawImage(document.getElementById("view"), 0, 0);
  const line = pen.getImageData(0, {BIT // 2}, {BIT * BITS}, 1).data;
  return [...Array({BITS}).keys()].reduce((sum, bit) => sum + ((line[4 * (bit * {BIT} + {BIT // 2})] > 127) << bit), 0);
}})()"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Array]:
    """Three people who look at the dots that they will be shown, a frame a dot; their gaze in the camera's frame."""
    camera, screen = assume_camera(*FRAME), place_screen(None, SCREEN, WIDTH).screen
    folder = tmp_path_factory.mktemp("films")
    gazes = []
    for person, name in enumerate(PEOPLE):
        rng = np.random.default_rng(person)
        head, light, frames = build_head(sample_person(rng)), sample_scene(rng), []
        for picture in range(PICTURES):
            pose = rng.uniform(-0.15, 0.15, 2)
            scene = replace(light, head_pose=(float(pose[0]), float(pose[1])), noise=1.0)
            center = np.array([*rng.normal(0, 25, 2), rng.normal(550, 30)])
            turned = truth_of(Sitter(head, scene, center), camera).rotation
            target = screen.target(dot_place(f"{name}/1", picture, 0) * SCREEN)
            sitter = Sitter(head, replace(scene, target=turned.T @ (target - center)), center)
            photo, (truth,) = photograph([sitter], camera, *FRAME)
            frames.append(numbered(photo, len(frames)))
            gazes.append(truth.direction)
        write_film(folder / f"{name}.y4m", frames, FPS)
    return [folder / f"{name}.y4m" for name in PEOPLE], np.stack(gazes)


def text_of(name: str) -> str:
    return f"document.getElementById('{name}').textContent"


def opened(chromium: Chromium, url: str) -> None:
    chromium.call("Page.navigate", url=url)
    chromium.wait_for(f"{text_of('seen')}.includes('pixels')")


def measure(chromium: Chromium, out: Path, person: str) -> int:
    """A measurement by key presses, each picture taken while the frame of its dot is shown; gives how many were taken
    back because the frame had changed meanwhile."""
    chromium.write("person", person)
    chromium.press("Enter")
    wrong = 0
    for picture in range(PICTURES):
        while True:
            chromium.wait_for(f"{text_of('said')}.startsWith('{picture} of {PICTURES}')")
            chromium.wait_for(f"{NUMBER} == {picture}", 60)
            chromium.press(" ")
            chromium.wait_for(
                f"document.getElementById('stage').hidden || {text_of('said')}.startsWith('{picture + 1} ')"
            )
            if number_of(out / person / "1" / f"{picture + 1:04d}.jpg") == picture:
                break
            wrong += 1
            chromium.press("Backspace")
    chromium.wait_for(f"{text_of('done')}.includes('all of its {PICTURES}')")
    chromium.wait_for("!document.fullscreenElement")
    return wrong


def test_from_start_to_a_calibrated_model(
    films: tuple[list[Path], Array], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    paths, gazes = films
    out = tmp_path / "collected"
    with Collecting(out, "--pictures", str(PICTURES)) as running:
        for person, path in zip(PEOPLE, paths, strict=True):
            with Chromium(tmp_path / person, path, SCREEN) as chromium:
                opened(chromium, running.url)
                chromium.write("width", f"{WIDTH:.0f}")
                assert measure(chromium, out, person) < PICTURES
                assert not chromium.console
                rows = chromium.evaluate("[...document.querySelectorAll('tbody tr')].map((row) => row.innerText)")
                chromium.call("Page.navigate", url="about:blank")  # a page that is left frees its place
                chromium.wait_for("!document.getElementById('view')")
    assert [row.split()[0] for row in rows] == list(PEOPLE)
    assert "cleo" in running.said

    split = open_data(out).split("all")
    assert split.gaze is not None
    true = np.einsum("nij,nj->ni", split.columns["face_mat_norm"], gazes)
    off = angular_error(split.gaze, true)
    record_property("labels_deg", round(float(off.mean()), 2))
    assert off.mean() < 4  # the landmarks' own error: the rendered head is not the finder's face model
    assert main(["data", "check", str(out), "--out", str(tmp_path / "check"), "--threads", "1"]) == 0
    assert main(["data", "normalize", str(out), "--out", str(tmp_path / "plain"), "--size", "64"]) == 0
    data, run = tmp_path / "data", tmp_path / "run"
    assert main(["data", "prepare", str(out), "--out", str(data), "--size", "64", "--test-people", "1"]) == 0
    train = ["--arch", MODEL, "--weights", "default", "--epochs", "2", "--batch-size", "8", "--threads", "1"]
    assert main(["finetune", *train, "--data", str(data), "--out", str(run)]) == 0
    names = json.loads((run / "summary.json").read_text())["data"]["names"]
    assert sorted(name for part in names.values() for name in part) == sorted(PEOPLE)  # each in one split alone
    (tested,) = names["test"]

    looks, screen = tmp_path / "looks", out / tested / "1" / "screen.json"
    assert main(["predict", str(out / tested / "1"), "--model", str(run), "--out", str(looks), "--no-draw"]) == 0
    size = ["--size-mm", f"[{WIDTH}, {WIDTH * 9 / 16}]", "--pixels", str(list(SCREEN))]
    dots = ["--predictions", str(looks), "--dots", str(out / tested / "1" / "dots.csv"), "--out", str(screen)]
    assert main(["screen", *size, *dots]) == 0
    assert json.loads(screen.read_text())["looks"] == PICTURES

    whom, user = ["--split", "test", "--k", "[6]", "--person", tested], tmp_path / "user.safetensors"
    calibrate = ["calibrate", "--model", str(run), "--data", str(data), *whom, "--save", str(user), "--threads", "1"]
    assert main([*calibrate, "--out", str(tmp_path / "calibration")]) == 0
    measured = json.loads((tmp_path / "calibration" / "summary.json").read_text())
    record_property("calibration_deg", measured)
    assert user.exists()

    more = ("--model", str(run), "--user", str(user), "--screen", str(screen))
    with Collecting(out, *more) as running, Chromium(tmp_path / "other", paths[0], SCREEN) as chromium:
        opened(chromium, running.url)
        chromium.evaluate("document.getElementById('live').focus()")
        chromium.press("Enter")
        chromium.wait_for("!document.getElementById('dot').hidden")
        said = chromium.wait_for(f"{text_of('said')}.includes('frames a second') && {text_of('said')}")
        chromium.press("Escape")
        chromium.wait_for("!document.getElementById('start').hidden")
    assert re.search(r"pitch -?\d+°, yaw -?\d+°", said)


@pytest.fixture
def moving(tmp_path: Path) -> Path:
    """A head that turns, 30 frames a second."""
    rng = np.random.default_rng(1)
    camera, head, light = assume_camera(*FRAME), build_head(sample_person(rng)), sample_scene(rng)
    frames = []
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        scene = replace(light, head_pose=(0.1 * float(np.sin(angle)), 0.15 * float(np.cos(angle))))
        center = np.array([30 * np.sin(angle), 0, 600])
        frames.append(photograph([Sitter(head, scene, center)], camera, *FRAME)[0])
    write_film(tmp_path / "moving.y4m", frames, 30)
    return tmp_path / "moving.y4m"


def test_live_gaze_and_tabs(moving: Path, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    with (
        Collecting(tmp_path / "out", "--model", MODEL, "--pictures", "5") as running,
        Chromium(tmp_path / "profile", moving, SCREEN) as chromium,
    ):
        opened(chromium, running.url)
        chromium.write("width", f"{WIDTH:.0f}")
        chromium.evaluate("document.getElementById('live').focus()")
        chromium.press("Enter")
        time.sleep(6)
        said = chromium.wait_for(f"{text_of('said')}.includes('frames a second') && {text_of('said')}")
        record_property("live", said)
        assert float(re.search(r"([\d.]+) frames a second", said).group(1)) > 0  # type: ignore[union-attr]
        chromium.press("Escape")
        assert not (tmp_path / "out" / "anna").exists()

        first = chromium.new_tab(running.url)
        chromium.wait_for(f"{text_of('trouble')}.includes('Another tab or window is open')")
        chromium.evaluate("document.getElementById('again').focus()")
        chromium.press("Enter")
        chromium.wait_for("document.getElementById('trouble').hidden")
        chromium.back_to(first)
        chromium.wait_for(f"{text_of('trouble')}.includes('Another tab or window goes on')")

        chromium.evaluate("document.getElementById('again').focus()")
        chromium.press("Enter")
        chromium.wait_for("document.getElementById('trouble').hidden")
        chromium.write("person", "anna")
        chromium.press("Enter")
        chromium.wait_for(f"{text_of('said')}.startsWith('0 of 5')")
        chromium.press(" ")
        chromium.wait_for(f"{text_of('said')}.startsWith('1 of 5')")
        chromium.press("Escape")
        chromium.wait_for("document.querySelectorAll('tbody tr').length == 1")
        chromium.evaluate("document.querySelector('tbody button').focus()")
        chromium.press("Enter")  # and the question is answered with yes
        chromium.wait_for("!document.getElementById('nothing').hidden")
        assert chromium.dialogs == 1
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["collected.json"]

        chromium.call("Page.navigate", url=re.sub(r"/[^/]+/$", "/wrong/", running.url))
        chromium.wait_for("document.body.innerText.includes(\"address that 'gazenas collect' printed\")")


def covered(folder: Path) -> Path:
    write_film(folder / "black.y4m", [np.zeros((240, 320, 3), np.uint8)], 10)
    return folder / "black.y4m"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Collecting]:
    with Collecting(tmp_path / "out") as running:
        yield running


def test_a_closed_lid(page: Collecting, tmp_path: Path) -> None:
    """A camera that shows nothing, and one that goes away."""
    with Chromium(tmp_path / "profile", covered(tmp_path), SCREEN) as chromium:
        chromium.call("Page.navigate", url=page.url)
        chromium.wait_for(f"{text_of('seen')}.includes('is the lid closed')")
        chromium.write("width", "500")
        chromium.write("person", "anna")
        chromium.press("Enter")
        chromium.wait_for(f"{text_of('said')}.startsWith('0 of 100')")
        chromium.press(" ")
        chromium.wait_for(f"{text_of('said')}.startsWith('Not stored: the picture is black')")
        chromium.evaluate("document.getElementById('view').srcObject.getTracks()[0].dispatchEvent(new Event('ended'))")
        chromium.wait_for(f"{text_of('trouble')}.includes('The camera is gone')")
        page.process.kill()
        chromium.wait_for("document.getElementById('start').hidden == false")
        chromium.evaluate("document.getElementById('again').click()")
        chromium.wait_for(f"{text_of('trouble')}.includes('does not run any more')")


def test_a_camera_that_is_refused(page: Collecting, tmp_path: Path) -> None:
    with Chromium(tmp_path / "profile", None, SCREEN) as chromium:
        chromium.call("Page.navigate", url=page.url)
        said = chromium.wait_for(f"!document.getElementById('trouble').hidden && {text_of('trouble')}")
        assert "camera was refused" in said or "No camera was found" in said
        assert chromium.evaluate("document.getElementById('begin').disabled")
