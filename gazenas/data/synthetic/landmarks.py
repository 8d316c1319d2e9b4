"""The 68 facial landmarks of a rendered face, in the order that ETH-XGaze's files use (iBUG 300-W)."""

from __future__ import annotations

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.synthetic.eye import lid_edges, lid_heights
from gazenas.data.synthetic.head import EYE_HEIGHT, HeadShape, eye_corners, nose_base
from gazenas.data.synthetic.person import Person
from gazenas.data.synthetic.portrait.head import nose_points
from gazenas.data.synthetic.portrait.lids import lid_points
from gazenas.data.synthetic.scene import Scene, optical_axes, project, to_camera


def project_landmarks(head: HeadShape, scene: Scene, size: int) -> Floats:
    """``(68, 2)`` image positions (x, y) in pixels, occluded ones included; conventions of :func:`.scene.project`."""
    person = head.person
    nose_y = EYE_HEIGHT + person.nose_length
    drop, wide, reach = _mouth_and_nose(person)
    mouth_y = nose_y + drop
    angle = np.linspace(-np.pi / 2, np.pi / 2, 17)
    jaw = np.stack(
        [0.82 * head.axes[0] * np.sin(angle), EYE_HEIGHT + (mouth_y + 46 - EYE_HEIGHT) * np.cos(angle) ** 0.8], -1
    )
    arch = np.linspace(14, 47, 5)
    brow_y = EYE_HEIGHT - person.brow_height - 2.5 * np.cos((arch - person.eye_spacing / 2) / 9)
    brows = np.concatenate([np.stack([-arch[::-1], brow_y[::-1]], -1), np.stack([arch, brow_y], -1)])
    bridge = np.stack([np.zeros(4), np.linspace(EYE_HEIGHT + 2, nose_y - 4, 4)], -1)
    nostrils = np.stack([np.linspace(-reach, reach, 5), nose_y + np.array([0, 1.5, 2.5, 1.5, 0])], -1)
    turn = np.linspace(np.pi, -np.pi, 13)[:-1]
    outer = np.stack([wide * np.cos(turn), mouth_y - 7 * np.sin(turn)], -1)
    turn = np.linspace(np.pi, -np.pi, 9)[:-1]
    inner = np.stack([(wide - 4) * np.cos(turn), mouth_y - 1.5 * np.sin(turn)], -1)
    flat = np.concatenate([jaw, brows, bridge, nostrils, outer, inner]).astype(np.float32)
    flat += head.center[:2]
    eyes = lid_points if person.anatomy else _eye_points
    surface = head.surface_points(flat[:, 0], flat[:, 1])
    points = np.concatenate([surface[:36], eyes(head, scene), surface[36:]])
    return project(to_camera(points, scene), size)


def _mouth_and_nose(person: Person) -> tuple[float, float, float]:
    """How far the mouth lies under the nose, half its width, and half the distance between the nose's points, mm."""
    if person.anatomy is None:
        return 24, 23, float(nose_base(person)[0][1])
    return person.anatomy.mouth.drop, person.anatomy.mouth.half_width, float(nose_points(person)[0][1])


def _eye_points(head: HeadShape, scene: Scene) -> Floats:
    """``(12, 3)`` points in the head frame: per eye, image left first, clockwise from the corner at the image's
    left."""
    person, corners = head.person, eye_corners(head)
    points = []
    for side, axis in enumerate(optical_axes(head, scene.target)):
        across = person.fissure * np.array([-0.4, 0.4], np.float32)
        upper, lower = lid_edges(person, lid_heights(person, scene, axis), across)
        tilt = person.canthal_tilt * (1 if side == 0 else -1)
        x = np.concatenate([across, across[::-1]])
        y = np.concatenate([upper, lower[::-1]])
        turned_x, turned_y = x * np.cos(tilt) - y * np.sin(tilt), y * np.cos(tilt) + x * np.sin(tilt)
        z = -np.sqrt(np.maximum(person.shell_radius**2 - turned_x**2 - turned_y**2, 0))
        lids = np.stack([turned_x, turned_y, z], -1) + head.eyes[side]
        points += [corners[side, :1], lids[:2], corners[side, 1:], lids[2:]]
    joined: Floats = np.concatenate(points)
    return joined
