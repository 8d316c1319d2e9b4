"""Where eyes open: edges of the lids on an ellipsoid about the eyeball, and the corners."""

from __future__ import annotations

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.synthetic.anatomy import Anatomy
from gazenas.data.synthetic.head import HeadShape
from gazenas.data.synthetic.person import Person
from gazenas.data.synthetic.scene import Scene, optical_axes

LEAST_OPENING = 2.2  # mm
SIDES = (-1.0, 1.0)  # toward the temple, in x, of the eye at the image's left and the one at its right


def anatomy_of(person: Person) -> Anatomy:
    """What the second renderer knows of a person; every one that it draws has it."""
    assert person.anatomy is not None, "of the second renderer"
    return person.anatomy


def opening_heights(person: Person, scene: Scene, axis: Floats) -> tuple[float, float]:
    """How far the opening reaches above and below the line between its corners in mm, given the optical axis."""
    lids = anatomy_of(person).lids
    drop = float(axis[1]) * person.eye_radius
    upper = person.upper_lid * scene.lid_opening - lids.follow[0] * drop
    lower = person.lower_lid * (0.6 + 0.4 * scene.lid_opening) + lids.follow[1] * drop
    upper = max(upper, LEAST_OPENING - lower, -lids.corner_drop + 0.6)
    return upper + lids.corner_drop, max(lower - lids.corner_drop, 0.6)


def opening_edges(person: Person, heights: tuple[float, float], aside: Floats) -> tuple[Floats, Floats]:
    """y of the upper and lower lid edges from the line between the corners, at ``aside`` (mm along it from its middle,
    toward the temple)."""
    edges = []
    for height, peak, exponent in zip(
        (-heights[0], heights[1]), anatomy_of(person).lids.peaks, person.lid_exponents, strict=True
    ):
        away = np.clip(aside / np.float32(person.fissure), -1, 1) - np.float32(peak)
        share = np.abs(away) / (1 - np.float32(peak) * np.sign(away))
        edges.append(np.float32(height) * (1 - np.minimum(share, 1) ** np.float32(exponent)))
    return edges[0], edges[1]


def eye_frame(person: Person, side: int) -> tuple[float, float]:
    """Cosine and sine of the turn of an eye's line between its corners; outer corners lie higher at a positive tilt."""
    tilt = person.canthal_tilt * -SIDES[side]
    return float(np.cos(tilt)), float(np.sin(tilt))


def on_shell(person: Person, side: int, aside: Floats, down: Floats) -> Floats:
    """``(n, 3)`` points of the lids' ellipsoid from the eye center, at positions along and under the line between the
    corners."""
    lids = anatomy_of(person).lids
    cosine, sine = eye_frame(person, side)
    along = aside * SIDES[side]
    x, y = along * cosine - down * sine, along * sine + down * cosine + lids.corner_drop
    flat = np.maximum(1 - (x / lids.shell[0]) ** 2 - (y / lids.shell[1]) ** 2, 0)
    points: Floats = np.stack([x, y, -lids.shell[2] * np.sqrt(flat)], -1).astype(np.float32)
    return points


def opening_corners(head: HeadShape) -> Floats:
    """``(2, 2, 3)`` corners of both eye openings, from the image's left to its right."""
    person = head.person
    ends = np.array([1.0, -1.0]) * person.fissure
    corners = [on_shell(person, side, order * ends, np.zeros(2)) for side, order in enumerate((1, -1))]
    placed: Floats = np.stack(corners) + head.eyes[:, None]
    return placed


def lid_points(head: HeadShape, scene: Scene) -> Floats:
    """``(12, 3)`` points in the head frame: per eye, image left first, clockwise from the corner at the image's
    left."""
    person = head.person
    corners, points = opening_corners(head), []
    for side, axis in enumerate(optical_axes(head, scene.target)):
        across = person.fissure * np.array([-0.4, 0.4], np.float32)
        aside = across * SIDES[side]
        upper, lower = opening_edges(person, opening_heights(person, scene, axis), aside)
        above, below = on_shell(person, side, aside, upper), on_shell(person, side, aside[::-1], lower[::-1])
        points += [
            corners[side, :1],
            above + head.eyes[side],
            corners[side, 1:],
            below + head.eyes[side],
        ]
    joined: Floats = np.concatenate(points)
    return joined
