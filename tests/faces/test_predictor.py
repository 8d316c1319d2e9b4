"""From faces whose pose is known to gaze in the camera's frame; photos without memory, films with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gazenas
from gazenas.data.normalization.cameras import assume_camera
from gazenas.data.normalization.geometry import Camera
from gazenas.errors import InputError
from gazenas.faces.averaging import AVERAGES, AveragedEstimator
from gazenas.faces.estimators import load_estimator
from gazenas.faces.frame import Frame
from gazenas.faces.predictor import GazePredictor
from gazenas.gaze import angles_to_vectors, angular_error
from tests.faces.people import Known, Says, face_at, head_at

CAMERA = assume_camera(320, 240)
IMAGE = np.full((240, 320, 3), 90, np.uint8)


@pytest.mark.parametrize("seed", range(6))
def test_gaze_is_turned_out_of_the_normalized_frame(seed: int) -> None:
    """Against axes by Gram-Schmidt: z to the face center, x along the head's."""
    rng = np.random.default_rng(seed)
    middle = np.array([*rng.uniform(-80, 80, 2), rng.uniform(400, 800)])
    head = head_at(*middle, rng.uniform(-0.4, 0.4, 3))
    angles = rng.uniform(-0.4, 0.4, 2)
    (found,) = GazePredictor(Says(*angles), finder=Known(face_at(CAMERA, *head)), camera=CAMERA).image(IMAGE)
    assert found.gaze is not None
    np.testing.assert_allclose(found.gaze.view.center, middle, atol=0.01)
    np.testing.assert_allclose(found.gaze.head_rotation, head[0], atol=1e-4)
    z = middle / np.linalg.norm(middle)
    x = head[0][:, 0] - z * (z @ head[0][:, 0])
    x /= np.linalg.norm(x)
    expected = angles_to_vectors(angles) @ np.stack([x, np.cross(z, x), z])
    assert angular_error(found.gaze.direction[None], expected[None])[0] < 0.01


def test_zero_is_into_the_camera_wherever_the_face_is() -> None:
    face = face_at(CAMERA, *head_at(120.0, -60.0, 500.0, (0.1, 0.3, 0.2)))
    (found,) = GazePredictor(Says(0, 0), finder=Known(face), camera=CAMERA).image(IMAGE)
    assert found.gaze is not None
    center = found.gaze.view.center
    np.testing.assert_allclose(found.gaze.direction, -center / np.linalg.norm(center), atol=1e-6)


def test_the_network_sees_the_face_in_the_middle_at_its_size() -> None:
    """A mark of 30 x 30 mm at the face center becomes 30 mm of 600 mm away at 960 pixels in 224."""
    image = np.zeros((240, 320, 3), np.uint8)
    x, y = CAMERA.project(np.array([[20.0, 10.0, 400.0]]))[0]
    half = 15 * 320 / 400
    image[round(y - half) : round(y + half), round(x - half) : round(x + half)] = 255
    network = Says(0, 0, size=56)
    finder = Known(face_at(CAMERA, *head_at(20.0, 10.0, 400.0)))
    GazePredictor(network, finder=finder, camera=CAMERA, confidence=False).image(image)
    (patch,) = network.patches[0]
    assert patch.shape == (56, 56, 3)
    rows, columns = np.nonzero(patch[..., 0] > 127)
    assert abs(rows.mean() - 28) < 1.5
    assert abs(columns.mean() - 28) < 1.5
    assert np.ptp(rows) + 1 == pytest.approx(30 * 960 / 600 / 4, abs=1.5)


def test_faces_are_asked_together_the_largest_first() -> None:
    near, far = face_at(CAMERA, *head_at(-60.0, 0, 400.0)), face_at(CAMERA, *head_at(100.0, 0, 900.0))
    network = Says(0.1, 0.2)
    predictor = GazePredictor(network, finder=Known(far, near), camera=CAMERA, confidence=False)
    found = predictor.image(IMAGE)
    assert [each.face.box[0] for each in found] == [near.box[0], far.box[0]]
    assert [len(patches) for patches in network.patches] == [2]
    assert len(GazePredictor(network, finder=Known(far, near), camera=CAMERA, max_faces=1).image(IMAGE)) == 1


def test_a_face_that_cannot_be_one_says_why_and_the_others_are_answered() -> None:
    good = face_at(CAMERA, *head_at())
    flat = replace(good, landmarks=np.full((6, 2), 50.0))
    away = replace(good, landmarks=good.landmarks + 4000)
    few = replace(good, landmarks=good.landmarks[:4])
    strange = replace(good, landmarks=np.full((6, 2), np.nan))
    predictor = GazePredictor(Says(0, 0), finder=Known(good, flat, away, few, strange), camera=CAMERA)
    found = predictor.image(IMAGE)
    assert sum(each.gaze is not None for each in found) == 1
    assert all(each.reason for each in found if each.gaze is None)


def test_a_network_that_answers_nothing_is_no_answer() -> None:
    finder = Known(face_at(CAMERA, *head_at()))
    (found,) = GazePredictor(Says(np.nan, 0), finder=finder, camera=CAMERA).image(IMAGE)
    assert found.gaze is None
    assert "expected angles" in found.reason


def test_films_are_numbered_and_smoothed_photos_are_not() -> None:
    """Noise on a still gaze shrinks in a stream; a single photo answers as the network does."""
    rng = np.random.default_rng(0)
    network = Says(0.1, -0.2)
    predictor = GazePredictor(network, finder=Known(face_at(CAMERA, *head_at())), camera=CAMERA, smooth="one-euro")

    def frames() -> list[Frame]:
        return [Frame(IMAGE, number, number / 30) for number in range(60)]

    def noisy() -> object:
        for frame in frames():
            network.angles = np.array([0.1, -0.2]) + 0.05 * rng.standard_normal(2)
            yield frame

    found = [answers[0] for answers in predictor.stream(noisy())]  # type: ignore[arg-type]
    assert {each.face.id for each in found} == {0}
    errors = [angular_error(each.gaze.angles[None], np.array([[0.1, -0.2]]))[0] for each in found[20:] if each.gaze]
    assert np.mean(errors) < 0.6 * np.rad2deg(0.05 * np.sqrt(np.pi / 2))
    for each in found:
        assert each.gaze is not None
        np.testing.assert_allclose(each.gaze.view.to_camera(each.gaze.angles), each.gaze.direction, atol=1e-9)
    (one,) = predictor.image(IMAGE)
    assert one.gaze is not None
    np.testing.assert_allclose(one.gaze.angles, network.angles, atol=1e-6)


def test_frames_that_cannot_be_read_or_change_their_size() -> None:
    predictor = GazePredictor(Says(0, 0), finder=Known(face_at(CAMERA, *head_at())))
    frames = [IMAGE, Frame(None, reason="cut off"), IMAGE, np.full((480, 640, 3), 9, np.uint8)]
    assert [len(answers) for answers in predictor.stream(frames)] == [1, 0, 1, 1]


def test_known_faces_are_not_looked_for() -> None:
    predictor = GazePredictor(Says(0, 0), finder=Known(face_at(CAMERA, *head_at())), camera=CAMERA)
    frames = [Frame(IMAGE, faces=()), Frame(IMAGE, faces=(face_at(CAMERA, *head_at(), id=4),))]
    assert [[each.face.id for each in answers] for answers in predictor.stream(frames)] == [[], [4]]


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_other_arrays_are_refused(image: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(InputError, match="uint8 RGB"):
        GazePredictor(Says(0, 0), finder=Known()).image(image)


def test_what_cannot_be_had_is_refused() -> None:
    with pytest.raises(InputError, match="--smooth"):
        GazePredictor(Says(0, 0), finder=Known(), smooth="much")
    with pytest.raises(InputError, match="--finder: expected one of mediapipe"):
        GazePredictor(Says(0, 0), finder="nobody")
    with pytest.raises(InputError, match="no_such_module"):
        GazePredictor(Says(0, 0), finder="no_such_module:Finder")
    with pytest.raises(InputError, match="expected a finder with a face_model, found OrderedDict"):
        GazePredictor(Says(0, 0), finder="collections:OrderedDict")
    with pytest.raises(InputError, match="user"):
        GazePredictor(Says(0, 0), finder=Known(), user="anna.safetensors")
    with pytest.raises(InputError, match="--camera: expected a principal point within"):
        wide = Camera(np.array([[500.0, 0, 640], [0, 500, 360], [0, 0, 1]]), np.zeros(0))
        GazePredictor(Says(0, 0), finder=Known(), camera=wide).image(IMAGE)


class Corner:
    """Answers by one pixel of a patch."""

    input_size, metadata = 64, {"of": "it"}  # type: ignore[var-annotated]

    def __call__(self, faces: np.ndarray, /) -> np.ndarray:  # type: ignore[type-arg]
        return np.stack([faces[:, 10, 20, 0], faces[:, 10, 20, 1]], 1).astype(np.float32)


def test_the_mean_over_moves_is_that_of_the_pixels_around() -> None:
    """Moved by a pixel of 64 four ways, and mirrored: a pixel, its diagonal neighbors, and those on the other side."""
    patches = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    asked = AveragedEstimator(Corner(), AVERAGES["moves"])
    values = patches.astype(float)[..., :2]
    near = [(0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)]
    plain = np.mean([values[:, 10 + down, 20 + right] for down, right in near], 0)
    other = np.mean([values[:, 10 + down, 63 - 20 + right] for down, right in near], 0)
    assert asked(patches) == pytest.approx((plain + other * [1, -1]) / 2, rel=1e-5)
    with pytest.raises(InputError, match="--average: expected none, mirror, moves, found 'often'"):
        GazePredictor(Corner(), finder=Known(), average="often")


def test_a_mirrored_patch_is_asked_about_as_well() -> None:
    """A network that answers by the left half of a patch: with its mirror image the right half counts as much."""

    class Left:
        input_size, metadata = 64, {"of": "it"}  # type: ignore[var-annotated]

        def __call__(self, faces: np.ndarray, /) -> np.ndarray:  # type: ignore[type-arg]
            half = faces[:, :, :32].astype(np.float32).mean((1, 2, 3)) / 1000
            return np.stack([half, 2 * half], 1)

    finder = Known(face_at(CAMERA, *head_at()))
    predictor = GazePredictor(Left(), finder=finder, camera=CAMERA, average="mirror")
    assert predictor.estimator.metadata == {"of": "it"}
    patch = np.zeros((2, 64, 64, 3), np.uint8)
    patch[:, :, 32:] = 100
    patch[1, :, :32] = 50
    assert predictor.estimator(patch) == pytest.approx(np.array([[0.05, -0.1], [0.075, -0.05]]))
    (found,) = predictor.image(IMAGE)
    assert found.gaze is not None


def test_by_name() -> None:
    finder = Known(face_at(CAMERA, *head_at()))
    predictor = gazenas.GazePredictor("gazenas-fast-64-5m", finder=finder, camera=CAMERA)
    assert predictor.target.size == 64
    assert predictor.target.focal == pytest.approx(960 * 64 / 224)
    (found,) = predictor.image(IMAGE)
    assert found.gaze is not None
    assert np.abs(found.gaze.angles).max() < np.pi / 2


def test_files_and_networks_answer_alike(tmp_path: object, exported: object, tuned: object) -> None:
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    by_file, by_run = load_estimator(str(exported)), load_estimator(str(tuned))
    assert angular_error(by_file(patches), by_run(patches)).max() < 0.01
    assert by_file.metadata["input_size"] == "32"
    with pytest.raises(InputError, match="--user"):
        load_estimator(str(exported), user="anna.safetensors")
    with pytest.raises(InputError, match="--device"):
        load_estimator(str(exported), device="cuda:0")
    with pytest.raises(InputError, match="no such file"):
        load_estimator(f"{tmp_path}/absent.onnx")
