"""The renderer's truth: the iris is where it is said to be, the mirror image is the mirrored scene, files do not depend
on workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from gazenas.data.readers import open_data
from gazenas.data.synthetic.generation import generate, split_people
from gazenas.data.synthetic.head import HeadShape, build_head, eye_corners, nose_base
from gazenas.data.synthetic.landmarks import project_landmarks
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.rendering import render, render_linear
from gazenas.data.synthetic.scene import (
    DISTANCE,
    FOCAL_LENGTH,
    MIRROR,
    REFERENCE_SIZE,
    Scene,
    head_rotation,
    iris_centers,
    optical_axes,
    project,
    sample_scene,
    to_camera,
)
from gazenas.data.synthetic.session import sample_sessions
from gazenas.errors import InputError
from gazenas.gaze import angles_to_vectors, angular_error, vectors_to_angles


def person(seed: int) -> tuple[HeadShape, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return build_head(replace(sample_person(rng), glasses=0.0)), rng


def disc_pixels(head: HeadShape, scene: Scene, side: int, size: int) -> float:
    """Area in pixels of a whole iris disc, from the projections of points on its rim."""
    axis = optical_axes(head, scene.target)[side]
    depth = np.sqrt(head.person.eye_radius**2 - head.person.iris_radius**2)
    first = np.cross(axis, [0.0, 1.0, 0.0])
    first /= np.linalg.norm(first)
    turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)[:, None]
    rim = (
        head.eyes[side]
        + depth * axis
        + head.person.iris_radius * (np.cos(turn) * first + np.sin(turn) * np.cross(axis, first))
    )
    x, y = project(to_camera(rim, scene), size).T
    return float(0.5 * abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()))


def test_projected_iris_center_is_the_rendered_centroid() -> None:
    seen = 0
    for seed in range(4):
        head, rng = person(seed)
        wide = replace(head, person=replace(head.person, upper_lid=8.5, lower_lid=8.0, lid_exponents=(4.0, 4.0)))
        for _ in range(12):
            scene = replace(sample_scene(rng), lid_opening=1.2)
            iris = render_linear(wide, scene, 224)[1]
            rows, columns = np.mgrid[:224, :224] + 0.5
            centers = project(iris_centers(wide, scene), 224)
            for side, center in enumerate(centers):
                near = iris * ((columns - center[0]) ** 2 + (rows - center[1]) ** 2 < 20**2)
                if near.sum() < 0.95 * disc_pixels(wide, scene, side, 224) or near.sum() < 20:
                    continue
                found = np.array([(near * columns).sum(), (near * rows).sum()]) / near.sum()
                assert np.abs(found - center).max() < 0.5
                seen += 1
    assert seen >= 15


def test_mirrored_scene_renders_to_the_mirrored_image() -> None:
    for seed in range(3):
        head, rng = person(seed)
        for _ in range(3):
            scene = replace(sample_scene(rng), noise=0.0)
            image = render(head, scene, 64).astype(int)
            mirrored = render(head.mirrored(), scene.mirrored(), 64)[:, ::-1].astype(int)
            # Rays that graze an edge may fall on either side of it in float32.
            assert (np.abs(image - mirrored) > 2).mean() < 0.005
            np.testing.assert_allclose(scene.mirrored().gaze, scene.gaze * [1, -1], atol=1e-12)
            np.testing.assert_allclose(scene.mirrored().target, scene.target * MIRROR)


def test_gaze_points_from_the_face_center_to_the_target() -> None:
    head, rng = person(0)
    for _ in range(20):
        scene = sample_scene(rng)
        center, target = to_camera(np.zeros((1, 3)), scene)[0], to_camera(scene.target[None], scene)[0]
        assert angular_error(scene.gaze[None], (target - center)[None])[0] < 1e-5
    corners = eye_corners(head).reshape(4, 3)
    x, y = nose_base(head.person)
    nose = head.surface_points(x + head.center[0], y + head.center[1])
    assert np.linalg.norm(0.5 * (corners.mean(0) + nose.mean(0))) < 0.3


def test_visual_axes_meet_the_target() -> None:
    head, rng = person(1)
    scene = sample_scene(rng)
    visual = vectors_to_angles(optical_axes(head, scene.target)) - np.array(head.person.kappa)
    assert angular_error(visual, scene.target - head.eyes).max() < 1e-4


def test_head_pose_is_that_of_the_head() -> None:
    for pitch, yaw in ((0.3, -0.8), (-0.5, 1.1), (0.0, 0.0)):
        rotation = head_rotation(pitch, yaw)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(rotation @ [0, 0, -1], angles_to_vectors(np.array([pitch, yaw])), atol=1e-12)
        assert rotation[1, 0] == 0


def test_camera_is_that_of_eth_xgaze() -> None:
    assert (FOCAL_LENGTH, DISTANCE, REFERENCE_SIZE) == (960, 600, 224)
    np.testing.assert_allclose(project(np.array([[60.0, -30.0, 600.0]]), 224), [[112 + 96, 112 - 48]])
    np.testing.assert_allclose(
        project(np.array([[60.0, -30.0, 600.0]]), 64), [[32 + 96 * 64 / 224, 32 - 48 * 64 / 224]]
    )


def test_landmarks_lie_on_the_eyes() -> None:
    head, rng = person(2)
    scene = replace(sample_scene(rng), head_pose=(0.0, 0.0))
    points = project_landmarks(head, scene, 224)
    assert points.shape == (68, 2)
    corners = project(to_camera(eye_corners(head).reshape(4, 3), scene), 224)
    np.testing.assert_allclose(points[[36, 39, 42, 45]], corners, atol=1e-4)
    assert points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0]
    assert points[27:31, 1].min() > points[17:27, 1].max() - 5
    assert points[48:68, 1].min() > points[33, 1]


def test_a_head_whose_mesh_meets_the_lips_pole() -> None:
    """Warnings of floating point are errors here."""
    head = build_head(sample_person(np.random.default_rng(1500)))
    assert np.isfinite(render(head, sample_scene(np.random.default_rng(0)), 32)).all()


def test_files_do_not_depend_on_the_number_of_workers(data_folder: Path, tmp_path: Path) -> None:
    generate(tmp_path / "one", subjects=5, per_subject=16, size=32, seed=3, workers=1)
    files = sorted(path.relative_to(data_folder) for path in data_folder.rglob("*") if path.is_file())
    assert len(files) == 7
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (data_folder / name).read_bytes()


def test_layout_is_that_of_the_published_files(data_folder: Path) -> None:
    with h5py.File(data_folder / "train" / "subject0000.h5") as file:
        shapes = {key: (file[key].shape[1:], file[key].dtype.kind) for key in file}
        assert shapes == {
            "face_patch": ((32, 32, 3), "u"),
            "face_gaze": ((2,), "f"),
            "face_head_pose": ((2,), "f"),
            "frame_index": ((1,), "i"),
            "cam_index": ((1,), "i"),
            "face_mat_norm": ((3, 3), "f"),
            "facial_landmarks": ((68, 2), "f"),
        }
        assert file["face_patch"].chunks == (1, 32, 32, 3)
        assert file["face_patch"].compression == "lzf"


def test_eyes_turn_far_enough_and_people_are_split() -> None:
    rng = np.random.default_rng(0)
    in_head = np.rad2deg(vectors_to_angles(np.stack([sample_scene(rng).target for _ in range(2000)])))
    for column, limit in ((0, 20), (1, 25)):
        share = (np.abs(in_head[:, column]) > limit / 2).mean()
        assert np.abs(in_head[:, column]).max() > limit
        assert share > 0.5  # uniform: no mass about the middle
    split = split_people(20)
    assert {name: len(people) for name, people in split.items()} == {"train": 14, "val": 2, "test": 4}
    with pytest.raises(InputError, match="at least 3"):
        split_people(2)


def test_recordings_share_their_light_and_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    someone = replace(sample_person(rng), glasses=17.0)
    recordings = sample_sessions(rng, someone, 5)
    assert 2 <= len(recordings) <= 5
    scenes = [[each.place(sample_scene(rng), rng) for _ in range(3)] for each in recordings]
    for own in scenes:
        assert all(np.array_equal(scene.background, own[0].background) for scene in own)
        assert all(np.array_equal(scene.light, own[0].light) for scene in own)
        assert len({scene.head_pose for scene in own}) == 3
        assert all(angular_error(scene.gaze, vectors_to_angles(scene.rotation @ scene.target)) < 1e-5 for scene in own)
    assert len({own[0].background.tobytes() for own in scenes}) == len(recordings)
    worn = {sample_sessions(rng, someone, 2)[0].dress(someone).glasses for _ in range(20)}
    assert worn == {0.0, 17.0}
    generate(tmp_path, subjects=3, per_subject=7, size=32, seed=1, workers=1, sessions=3)
    for split in open_data(tmp_path).splits.values():
        assert split.session is not None
        for number in range(len(split.people)):
            own = split.session[split.person == number]
            assert (np.diff(own) >= 0).all()
            assert 2 <= len(np.unique(own)) <= 3
    with pytest.raises(InputError, match="--sessions: expected 0, or 2 to 5 with --view face or screen, found 6, face"):
        generate(tmp_path, subjects=3, per_subject=7, size=32, seed=1, workers=1, sessions=6)
