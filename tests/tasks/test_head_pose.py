"""Head pose: its two decompositions, its errors, and what changed images do to its labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gazenas.data.augmentation import Changes, augment
from gazenas.data.synthetic.head import build_head
from gazenas.data.synthetic.landmarks import project_landmarks
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.rendering import render
from gazenas.data.synthetic.scene import Scene, sample_scene
from gazenas.gaze import angles_to_vectors
from gazenas.tasks.head_pose import (
    HEAD_POSE,
    angle_errors,
    geodesic_error,
    mean_angle_error,
    pose_to_rotation,
    printed_to_rotation,
    rotation_to_pose,
    rotation_to_printed,
)
from tests.data.pose_layouts import Array, rotation


@pytest.fixture
def poses() -> Array:
    return np.random.default_rng(0).uniform(-1, 1, (200, 3)) * np.array([1.4, 3.0, 3.0])


def test_pose_and_rotation(poses: Array) -> None:
    rotations = pose_to_rotation(poses)
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (200, 3, 3)), atol=1e-12
    )
    np.testing.assert_allclose(rotations @ [0, 0, -1], angles_to_vectors(poses[:, :2]), atol=1e-12)
    np.testing.assert_allclose(rotation_to_pose(rotations), poses, atol=1e-9)
    turned = pose_to_rotation(torch.from_numpy(poses))
    np.testing.assert_allclose(turned.numpy(), rotations, atol=1e-12)
    np.testing.assert_allclose(rotation_to_pose(turned).numpy(), poses, atol=1e-9)


def test_the_printed_decomposition(poses: Array) -> None:
    angles = poses * np.array([1.0, 0.55, 1.0])  # yaw up to 94 degrees
    rotations = printed_to_rotation(angles)
    np.testing.assert_allclose(rotations, [rotation(*each) for each in angles], atol=1e-12)
    np.testing.assert_allclose(rotation_to_printed(rotations), angles, atol=1e-9)


def test_errors(poses: Array) -> None:
    """Against scipy's rotations, and of a change of one printed angle."""
    true, other = poses[:100].astype(np.float32), poses[100:].astype(np.float32)
    between = Rotation.from_matrix(pose_to_rotation(true)).inv() * Rotation.from_matrix(pose_to_rotation(other))
    np.testing.assert_allclose(geodesic_error(other, true), np.rad2deg(between.magnitude()), rtol=1e-3)
    assert geodesic_error(true, true).max() < 0.01
    angles = np.array([[0.3, -0.9, 0.2], [-0.2, 1.6, -0.4]])
    moved = [rotation_to_pose(printed_to_rotation(angles + step)) for step in (0, np.array([0.01, 0, -0.02]))]
    np.testing.assert_allclose(angle_errors(moved[1], moved[0]), np.rad2deg([[0.01, 0, 0.02]] * 2), atol=1e-9)
    np.testing.assert_allclose(mean_angle_error(moved[1], moved[0]), np.rad2deg([0.01, 0.01]), rtol=1e-5)
    assert HEAD_POSE.measures["mae_roll"].error(moved[1], moved[0]) == pytest.approx(np.rad2deg(0.02))


def changes(**more: torch.Tensor) -> Changes:
    return Changes(torch.zeros(1, dtype=torch.bool), torch.ones(1), torch.zeros(1), **more)


def label(scene: Scene) -> torch.Tensor:
    return torch.tensor([[*scene.head_pose, scene.roll]], dtype=torch.float64)


def test_a_mirrored_image_is_of_the_mirrored_head() -> None:
    rng = np.random.default_rng(1)
    scene = sample_scene(rng, roll=0.6)
    assert scene.roll
    _, mirrored = augment(
        torch.zeros(1, 3, 8, 8), label(scene), replace(changes(), mirrored=torch.ones(1).bool()), HEAD_POSE
    )
    torch.testing.assert_close(mirrored, label(scene.mirrored()))
    flip = np.diag([-1.0, 1, 1])
    np.testing.assert_allclose(scene.mirrored().rotation, flip @ scene.rotation @ flip, atol=1e-12)


def test_a_rolled_image_is_of_the_rolled_head() -> None:
    rng = np.random.default_rng(2)
    head, scene = build_head(sample_person(rng)), sample_scene(rng, roll=0.6)
    angle, size = 0.3, 64
    turn = {"roll": torch.tensor([angle]), "scale": torch.ones(1), "shift": torch.zeros(1, 2)}
    _, rolled = augment(torch.zeros(1, 3, size, size), label(scene), changes(**turn), HEAD_POSE)
    about = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    np.testing.assert_allclose(pose_to_rotation(rolled.numpy())[0], about @ scene.rotation, atol=1e-6)
    # Landmarks of a head at that pose lie where the picture's roll puts them.
    pitch, yaw, roll = rolled[0].tolist()
    now = project_landmarks(head, replace(scene, head_pose=(pitch, yaw), roll=roll), size) - size / 2
    before = project_landmarks(head, scene, size) - size / 2
    np.testing.assert_allclose(now, before @ about[:2, :2].T, atol=1e-3)


def test_roll_is_clockwise_as_seen() -> None:
    """Of a face that looks into the camera: its right eye in the picture goes down."""
    rng = np.random.default_rng(3)
    head = build_head(sample_person(rng))
    straight = replace(sample_scene(rng), head_pose=(0.0, 0.0))
    corners = project_landmarks(head, replace(straight, roll=0.4), 64)[[36, 45]]
    assert corners[1, 1] - corners[0, 1] > 2
    assert not np.array_equal(render(head, straight, 32), render(head, replace(straight, roll=0.4), 32))
