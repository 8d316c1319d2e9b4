"""300W-LP and AFLW2000: labels, cuts, whom is left out, and files that are something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gazenas.data.preparation import prepare
from gazenas.data.readers import open_data
from gazenas.data.readers.pose_mat import loose_box, wide_box
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.tasks.head_pose import HEAD_POSE, angle_errors, pose_to_rotation
from tests.data.pose_layouts import Array, rotation, write_pose

POINTS = np.array([[40.0, 80, 60], [50, 50, 90]])


@pytest.fixture
def angles() -> Array:
    return np.random.default_rng(0).uniform(-1, 1, (24, 3)) * np.array([0.9, 1.5, 0.8])


def picture() -> Array:
    """White but for a black square where the points are."""
    image = np.full((120, 120, 3), 255, np.uint8)
    image[50:90, 40:80] = 0
    return image


def test_the_published_boxes() -> None:
    box = np.array([[200.0, 300], [200, 320]])
    np.testing.assert_allclose(loose_box(box, 0.3), (182, 128, 321.24, 354.56))
    np.testing.assert_allclose(wide_box(box), (160, 152, 356, 340.16))


def test_300w_lp(tmp_path: Path, angles: Array) -> None:
    for number, each in enumerate(angles):
        folder = ("AFW", "HELEN_Flip")[number % 2]
        write_pose(tmp_path / folder / f"photo_{number // 4}_{number % 4}", picture(), each, POINTS)
    opened = open_data(tmp_path, Reading(size=48))
    assert opened.dataset == "300w-lp"
    assert opened.size == 48
    assert not set(opened.split("train").people) & set(opened.split("val").people)
    assert {name.rsplit("_", 1)[0] for part in opened.splits.values() for name in part.people} == {
        f"{folder}/photo" for folder in ("AFW", "HELEN")
    }
    for part in opened.splits.values():
        labels = HEAD_POSE.need(part, "here")
        for row in range(len(part)):
            name = part.images.name(row).removesuffix(".jpg").split("_")
            true = angles[4 * int(name[-2]) + int(name[-1])]
            np.testing.assert_allclose(pose_to_rotation(labels[row : row + 1])[0], rotation(*true), atol=1e-6)
            # Errors of single angles are those of the data set's own.
            moved = angle_errors(labels[row : row + 1] * 0, labels[row : row + 1])[0]
            np.testing.assert_allclose(moved, np.rad2deg(np.abs(true)), atol=1e-4)
    image = opened.split("train").images(np.array([0]))[0]
    assert image.shape == (48, 48, 3)
    assert 0.2 < (image < 50).all(-1).mean() < 0.8  # the face fills a good part of the cut


def test_aflw2000_without_large_angles(tmp_path: Path, angles: Array) -> None:
    for number, each in enumerate(angles):
        turned = each if number % 6 else np.deg2rad([0.0, 99.5, 0])
        write_pose(tmp_path / f"image{number:05d}", picture(), turned, POINTS - (41 if number == 1 else 0))
    opened = open_data(tmp_path)
    assert (opened.dataset, list(opened.splits), len(opened.split("test"))) == ("aflw2000", ["test"], 20)
    assert "4 of 24 pictures left out" in opened.notes[0]
    cut = opened.split("test").images(np.array([0]))[0]
    assert (cut[0] == 0).all()  # outside the picture it is black
    prepare(opened, tmp_path / "prepared")
    again = open_data(tmp_path / "prepared", Reading(needs=HEAD_POSE.keys))
    np.testing.assert_array_equal(HEAD_POSE.need(again.split("test"), ""), HEAD_POSE.need(opened.split("test"), ""))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Pose_Para": None}, r"lacks Pose_Para \(has: pt2d, roi\)"),
        ({"pt2d": None, "pt3d_68": np.zeros((3, 68))}, r"lacks pt2d \(has: Pose_Para, roi, pt3d_68\)"),
        ({"Pose_Para": np.zeros((1, 2))}, r"Pose_Para: expected pitch, yaw and roll first, found float64 \(1, 2\)"),
        ({"pt2d": np.zeros((3, 21))}, r"pt2d: expected shape \(2, points\), found float64 \(3, 21\)"),
    ],
)
def test_other_fields(tmp_path: Path, change: dict[str, Array | None], message: str) -> None:
    write_pose(tmp_path / "image00001", picture(), np.zeros(3), POINTS, **change)
    with pytest.raises(InputError, match=message):
        open_data(tmp_path)


def test_no_matlab_file(tmp_path: Path) -> None:
    (tmp_path / "image00001.mat").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="expected a MATLAB file"):
        open_data(tmp_path)
