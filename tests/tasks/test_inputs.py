"""What networks get besides images: it moves with the image, is asked for by name, and reaches the exported file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gazenas.commands.data import run as data_verb
from gazenas.data.augmentation import Changes, augment, draw_changes, move_labels
from gazenas.data.dataset import Faces
from gazenas.data.loader import Loader
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.export.onnx import export_onnx
from gazenas.export.runtime import GazeEstimator
from gazenas.models.baselines import BASELINES, OPTIONS, Baseline
from gazenas.models.zoo import build_model
from gazenas.tasks.inputs import INPUTS, find_inputs
from gazenas.training.loop import predict_faces, predict_split
from tests.data.test_gazecapture import FRAMES, write

BOX = (0.2, 0.25, 0.5, 0.4)
TAKERS = [name for name in BASELINES if OPTIONS.get(name) == ("inputs",)]
EVERY = {
    "rt-gene": "head_pose-eye_boxes",
    "itracker": "face_box-eye_boxes",
    "dilated-net": "eye_boxes",
    "ca-net": "eye_boxes",
}


def changes(kind: str, count: int, side: int) -> Changes:
    return draw_changes(count, torch.Generator().manual_seed(3), kind, side)


@pytest.mark.parametrize("kind", ["plain", "real"])
def test_boxes_follow_what_they_surround(kind: str) -> None:
    """A bright rectangle in a dark image, changed: its new middle is the middle of the moved box."""
    side, count = 96, 24
    images = torch.zeros(count, 3, side, side)
    left, top, right, bottom = (round(edge * side) for edge in BOX)
    images[:, :, top:bottom, left:right] = 1
    boxes = torch.tensor([[left, top, right, bottom] * 2]).repeat(count, 1) / side
    drawn = changes(kind, count, side)
    moved_images, _ = augment(images, torch.zeros(count, 2), drawn)
    moved = move_labels(boxes, drawn, INPUTS["eye_boxes"], side)
    light = (moved_images - moved_images.amin((1, 2, 3), keepdim=True)).mean(1)
    line = torch.arange(side) + 0.5
    x, y = ((light.sum(axis) * line).sum(1) / light.sum((1, 2)) / side for axis in (1, 2))
    torch.testing.assert_close(moved[:, [0, 2]].mean(1), x, atol=2e-3, rtol=0)
    torch.testing.assert_close(moved[:, [1, 3]].mean(1), y, atol=2e-3, rtol=0)
    torch.testing.assert_close(moved[:, 2] - moved[:, 0], (right - left) / side * scale_of(drawn, count))


def scale_of(drawn: Changes, count: int) -> torch.Tensor:
    return torch.ones(count) if drawn.scale is None else drawn.scale


@pytest.mark.parametrize("name", INPUTS)
def test_twice_mirrored_is_as_before_and_the_left_eye_stays_left(name: str) -> None:
    values = INPUTS[name].examples(20)
    mirrored = INPUTS[name].mirror(values, 64)
    torch.testing.assert_close(INPUTS[name].mirror(mirrored, 64), values)
    if name == "eye_boxes":
        assert (mirrored[:, 0] < mirrored[:, 4]).all()


def test_a_data_folder_brings_head_poses_and_boxes_of_eyes(data_folder: Path, tmp_path: Path) -> None:
    """Boxes lie around the landmarks of rendered eyes, in the folder itself, in shares that another size keeps, and in
    what is prepared from it."""
    folder = open_data(data_folder, Reading())
    boxes = INPUTS["eye_boxes"].need(folder.split("train"), "")
    assert (boxes[:, 0] < boxes[:, 4]).mean() > 0.9  # a face turned far aside has both in one place
    middles = (boxes[:, [0, 1, 4, 5]] + boxes[:, [2, 3, 6, 7]]) / 2
    assert ((middles[:, [1, 3]] > 0.15) & (middles[:, [1, 3]] < 0.6)).all()
    data_verb(["prepare", str(data_folder), "--out", str(tmp_path / "small"), "--size", "32"])
    small = open_data(tmp_path / "small", Reading()).split("train")
    np.testing.assert_array_equal(INPUTS["eye_boxes"].need(small, ""), boxes)


def test_gazecapture_s_boxes_and_grid(tmp_path: Path) -> None:
    """Eyes in shares of the face, whoever's left the files mean; the grid counts its cells from 1."""
    ones = [1] * FRAMES

    def box(x: int, y: int, w: int, h: int) -> dict[str, list[int]]:
        return {key: [value] * FRAMES for key, value in zip("XYWH", (x, y, w, h), strict=True)} | {"IsValid": ones}

    for name, (first, second) in (("00002", (3, 18)), ("00003", (18, 3))):
        eyes = {"appleLeftEye": box(first, 6, 9, 6), "appleRightEye": box(second, 6, 9, 6)}
        write(tmp_path, name, "train", **eyes, faceGrid=box(6, 4, 10, 12))
    write(
        tmp_path,
        "00010",
        "val",
        appleLeftEye=box(3, 6, 9, 6),
        appleRightEye=box(1, 6, 9, 6),
        faceGrid=box(1, 1, 25, 25),
    )
    folder = open_data(tmp_path, Reading(size=32, needs=()))
    train = folder.split("train")
    np.testing.assert_allclose(
        INPUTS["eye_boxes"].need(train, ""),
        np.tile([[0.1, 0.2, 0.4, 0.4, 0.6, 0.2, 0.9, 0.4]], (len(train), 1)),
        rtol=1e-6,
    )
    np.testing.assert_allclose(INPUTS["face_box"].need(train, "")[0], [0.2, 0.12, 0.6, 0.6], rtol=1e-6)
    network = build_model("itracker@face_box-eye_boxes", input_size=32, task="screen_point").eval()
    seen: list[torch.Tensor] = []
    assert isinstance(network, Baseline)
    network.body.get_submodule("grid_features").register_forward_hook(lambda _, given, __: seen.append(given[0]))
    predict_split(network, train)
    cells = np.zeros((25, 25), np.float32)
    cells[3:15, 5:15] = 1  # as the data set's own code fills it: from X, Y, as many as W, H
    np.testing.assert_array_equal(seen[0][0].view(25, 25).numpy(), cells)
    predict_split(network, folder.split("val"))
    assert (seen[-1] == 1).all()


@pytest.mark.parametrize("name", TAKERS)
def test_usual_boxes_give_what_is_cut_without_them(name: str) -> None:
    """Boxes where normalization puts eyes, as wide as what is cut there, are the fixed cut, to what sampling between
    pixels changes; others are not."""
    torch.manual_seed(0)
    fixed = build_model(name).eval()
    asked = build_model(f"{name}@eye_boxes").eval()
    assert asked.inputs == ("eye_boxes",)
    asked.load_state_dict(fixed.state_dict())
    assert isinstance(fixed, Baseline)
    parts = fixed.body.get_submodule("parts")
    images = torch.nn.functional.interpolate(torch.randn(1, 3, 7, 7), (224, 224), mode="bicubic")
    width, height, top = parts.width, parts.height, parts.top
    boxes = torch.tensor([[edge for left in parts.lefts for edge in (left, top, left + width, top + height)]]) / 224
    cuts, same = parts(images), parts(images, boxes)
    for one, other in zip(cuts, same, strict=True):
        assert (one - other).abs().mean() < 0.02 * one.std()
    assert not torch.allclose(parts(images, boxes + 0.1)[1], cuts[1], atol=0.1)


def test_head_angles_are_seen(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_model("rt-gene@head_pose", input_size=32).eval()
    images, pose = torch.randn(3, 3, 32, 32), torch.rand(3, 2)
    plain = build_model("rt-gene", input_size=32).eval()
    plain.load_state_dict(network.state_dict())
    assert torch.equal(network(images, head_pose=torch.zeros(3, 2)), plain(images))
    assert not torch.equal(network(images, head_pose=pose), plain(images))
    with pytest.raises(ValueError, match="expected head_pose besides images, found nothing"):
        network(images)


def test_a_loader_moves_them_with_their_images(data_folder: Path) -> None:
    split = open_data(data_folder, Reading()).split("train")
    loader = Loader(split, 8, 0, train=True, augmentation="plain", inputs=("head_pose", "eye_boxes"))
    batch = next(loader.epoch(0))
    given = {name: torch.from_numpy(INPUTS[name].need(split, "")[batch.rows]) for name in batch.more}
    assert split.gaze is not None
    mirrored = batch.labels[:, 1] * torch.from_numpy(split.gaze[batch.rows, 1]) < 0
    assert 0 < mirrored.sum() < 8
    for name, values in batch.more.items():
        expected = torch.where(mirrored[:, None], INPUTS[name].mirror(given[name], split.size), given[name])
        torch.testing.assert_close(values, expected)


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[] if each == "ca-net" else pytest.mark.slow) for each in TAKERS]
)
def test_an_exported_file_takes_them_by_name(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_model(f"{name}@{EVERY.get(name, 'eye_boxes')}", input_size=32).eval()
    faces = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), np.uint8)
    assert export_onnx(network, tmp_path / "gaze.onnx", faces).worst < 0.01
    estimator = GazeEstimator(tmp_path / "gaze.onnx")
    assert tuple(estimator.inputs) == network.inputs
    assert json.loads(estimator.metadata["inputs"])["eye_boxes"][0] == "left_eye_left"
    more = {key: values.numpy() for key, values in network.example_inputs(9).items()}
    answers = estimator(faces, **more)
    np.testing.assert_allclose(estimator(faces[2], **{key: v[2] for key, v in more.items()}), answers[2], atol=1e-4)
    with pytest.raises(ValueError, match=r"expected besides faces .*eye_boxes, found nothing"):
        estimator(faces)
    with pytest.raises(ValueError, match=r"eye_boxes: expected shape \(9, 8\)"):
        estimator(faces, **(more | {"eye_boxes": np.zeros((9, 4), np.float32)}))


def test_wrong_names_are_answered(data_folder: Path) -> None:
    with pytest.raises(InputError, match="expected some of head_pose, eye_boxes, joined by dashes, found 'face_box'"):
        build_model("rt-gene@face_box")
    with pytest.raises(InputError, match="expected each once"):
        find_inputs("eye_boxes-eye_boxes", ("eye_boxes",), "ca-net")
    folder = open_data(data_folder, Reading())
    with pytest.raises(InputError, match=r"train: .* takes face_box \(face_box\) besides images, found face_gaze"):
        folder.expect_inputs(("face_box",), ("train",))
    with pytest.raises(ValueError, match="expected eye_boxes besides images, found nothing"):
        predict_faces(build_model("ca-net@eye_boxes", input_size=32), Faces(np.zeros((1, 32, 32, 3), np.uint8)))
