"""The default finder's rules with networks that are stood in for, and the real one on rendered people where it is."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gazenas.data.normalization.cameras import assume_camera
from gazenas.data.synthetic.head import build_head
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.photography import Sitter, Truth, photograph
from gazenas.data.synthetic.scene import sample_scene
from gazenas.faces import mediapipe
from gazenas.faces.face import NEW
from gazenas.faces.mediapipe import LOOK_AGAIN, MediapipeFinder
from gazenas.faces.model_files import FAR, IRIS_FILE, MESH_FILE, NEAR
from gazenas.files import cache_folder

Array = NDArray[Any]
IMAGE = np.zeros((240, 320, 3), np.uint8)
HERE = importlib.util.find_spec("ai_edge_litert") is not None and all(
    (cache_folder() / "finders" / each.name).is_file() for each in (NEAR, FAR, MESH_FILE, IRIS_FILE)
)


class World:
    """Faces where they are said to be: what detectors and the mesh network see of them."""

    def __init__(self) -> None:
        self.faces: list[tuple[float, float, float]] = []  # x and y of the middle, side
        self.detected = 0

    def detect(self, image: Array) -> list[tuple[Array, float, Array]]:
        self.detected += 1
        found = []
        for x, y, side in self.faces:
            keys = np.array([[x - side / 4, y - side / 5], [x + side / 4, y - side / 5]] + [[x, y]] * 4)
            found.append((np.array([x - side / 2, y - side / 2, side, side]), 0.9, keys))
        return found

    def mesh(self, image: Array, center: Array, side: float, angle: float) -> tuple[Array, float]:
        for x, y, size in self.faces:
            if np.hypot(x - center[0], y - center[1]) < side / 3:
                line = np.linspace(-size / 2, size / 2, 468)
                points = np.stack([x + line, y + np.roll(line, 200)], 1)
                points[33], points[263] = (x - size / 3, y - size / 5), (x + size / 3, y - size / 5)
                return points, 1.0
        return np.zeros((468, 2)), 0.0


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(mediapipe, "find_files", lambda wanted, folder: {each.name: Path(each.name) for each in wanted})
    monkeypatch.setattr(mediapipe, "Detector", lambda path: made.detect)
    monkeypatch.setattr(mediapipe, "Mesh", lambda path: made.mesh)
    return made


def test_the_detector_runs_where_a_face_was_lost_and_now_and_then(world: World) -> None:
    finder = MediapipeFinder(far=False)
    world.faces = [(100.0, 100, 60), (230, 120, 60)]
    faces = [replace(face, id=number) for number, face in enumerate(finder(IMAGE, []))]
    assert len(faces) == 2
    assert world.detected == 1
    for step in range(1, LOOK_AGAIN):
        world.faces = [(100.0 + step, 100, 60), (230, 120, 60)]
        faces = finder(IMAGE, faces)
        assert [face.id for face in faces] == [0, 1]
    assert world.detected == 1
    faces = finder(IMAGE, faces)
    assert [face.id for face in faces] == [0, 1]
    assert world.detected == 2
    world.faces = world.faces[1:]
    faces = finder(IMAGE, faces)
    assert [face.id for face in faces] == [1]
    assert world.detected == 3


def test_a_face_that_was_faster_than_its_mesh_is_placed_by_its_detection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mesh goes half of the way: without the detector, it would stay behind."""
    finder = MediapipeFinder(far=False)

    def lagging(image: Array, center: Array, side: float, angle: float) -> tuple[Array, float]:
        points, score = world.mesh(image, center, side, angle)
        return points - (points.mean(0) - center) / 2, score

    monkeypatch.setattr(finder, "_mesh", lagging)
    world.faces = [(100.0, 100, 60)]
    faces = [replace(face, id=4) for face in finder(IMAGE, [])]
    for x in (118.0, 136.0, 154.0):
        world.faces = [(x, 100.0, 60)]
        faces = finder(IMAGE, faces)
        assert [face.id for face in faces] == [4]
        middle = faces[0].box[:2] + faces[0].box[2:] / 2
        assert np.abs(middle - [x, 100]).max() < 4
    assert world.detected == 4


def test_a_newcomer_is_found_beside_those_that_are_followed(world: World) -> None:
    finder = MediapipeFinder(far=False)
    world.faces = [(100.0, 100, 60)]
    faces = [replace(face, id=5) for face in finder(IMAGE, [])]
    world.faces.append((230.0, 120, 60))
    seen = [len(faces := finder(IMAGE, faces)) for _ in range(LOOK_AGAIN)]
    assert seen == [1] * (LOOK_AGAIN - 1) + [2]
    assert [face.id for face in faces] == [5, NEW]


def test_what_the_mesh_network_does_not_take_for_a_face_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    finder = MediapipeFinder(far=False)
    world.faces = [(100.0, 100, 60)]
    monkeypatch.setattr(finder, "_mesh", lambda *_: (np.zeros((468, 2)), 0.02))
    assert finder(IMAGE, []) == []


def test_one_face_seen_twice_is_one(world: World) -> None:
    world.faces = [(100.0, 100, 60), (104.0, 102, 58)]
    finder = MediapipeFinder(far=False)
    assert len(finder(IMAGE, [])) == 1


def test_where_the_first_detector_sees_nothing_the_second_is_asked(world: World) -> None:
    MediapipeFinder(far=True)(IMAGE, [])
    assert world.detected == 2


def test_the_face_of_a_box_is_the_one_whose_middle_is_in_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two faces near a box the one inside; a box beside them, or beyond the image, has none; what the detector
    overlooks is found by the mesh network from the box."""
    finder = MediapipeFinder(far=False)
    world.faces = [(100.0, 100, 60), (150, 100, 40)]
    seen = [(box, keys) for box, _, keys in world.detect(IMAGE)]
    monkeypatch.setattr(
        finder, "_detections", lambda part: [(box - [114, 64, 0, 0], keys - [114, 64]) for box, keys in seen]
    )
    found = finder.within(IMAGE, np.array([132.0, 82, 36, 36]))
    assert found is not None
    np.testing.assert_allclose(found.box[:2] + found.box[2:] / 2, [150, 100], atol=1)
    assert finder.within(IMAGE, np.array([220.0, 150, 40, 40])) is None
    assert finder.within(IMAGE, np.array([900.0, 900, 40, 40])) is None
    monkeypatch.setattr(finder, "_detections", lambda part: [])
    assert finder.within(IMAGE, np.array([75.0, 75, 50, 50])) is not None


@pytest.fixture(scope="module")
def real() -> MediapipeFinder:
    if not HERE:
        pytest.skip("the finder's networks are not in the cache folder")
    return MediapipeFinder(irises=True)


def rendered(distance: float) -> tuple[Array, Truth]:
    """A photo of 640 x 480 pixels of somebody so many mm away, and where they are."""
    rng = np.random.default_rng(int(distance))
    scene = replace(sample_scene(rng), head_pose=(0.0, 0.1), noise=1.0, blur=0.3)
    head = build_head(replace(sample_person(rng), glasses=0.0))
    sitter = Sitter(head, scene, np.array([40.0, -20, distance]))
    photo, (truth,) = photograph([sitter], assume_camera(640, 480), 640, 480)
    return photo, truth


@pytest.mark.parametrize("distance", [400.0, 700.0, 1400.0])
def test_rendered_people_are_found_where_they_are(real: MediapipeFinder, distance: float) -> None:
    photo, truth = rendered(distance)
    (face,) = real(photo, [])
    assert face.irises is not None
    eyes = face.landmarks[[33, 133, 362, 263]]
    width = np.linalg.norm(truth.landmarks[45] - truth.landmarks[36])
    assert np.linalg.norm(eyes - truth.landmarks[[36, 39, 42, 45]], axis=1).max() < 0.12 * width
    (followed,) = real(photo, [replace(face, id=3)])
    assert followed.id == 3
    assert np.abs(followed.landmarks - face.landmarks).max() < 0.05 * width
    assert real(np.full((480, 640, 3), 127, np.uint8), [face]) == []


@pytest.mark.parametrize(("wider", "moved"), [(1.0, 0.0), (0.8, 0.1), (1.5, -0.15)])
def test_a_box_about_a_face_gives_its_mesh(real: MediapipeFinder, wider: float, moved: float) -> None:
    photo, _ = rendered(700.0)
    (face,) = real(photo, [])
    middle = face.box[:2] + face.box[2:] * (0.5 + moved)
    found = real.within(photo, np.concatenate([middle - wider * face.box[2:] / 2, wider * face.box[2:]]))
    assert found is not None
    assert np.abs(found.landmarks - face.landmarks).mean() < 0.03 * face.box[2]
    assert real.within(photo, np.array([2.0, 2, 60, 60])) is None
