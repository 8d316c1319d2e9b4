"""The shape of a head with the measures of people: the skin lies against the lids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.synthetic import head as tables
from gazenas.data.synthetic.head import EYE_HEIGHT, TABLE_SIZE, HeadShape
from gazenas.data.synthetic.person import Person
from gazenas.data.synthetic.portrait.complexion import Grid, color_face
from gazenas.data.synthetic.portrait.lids import anatomy_of, opening_corners

SKIN_DEPTH = 0.8  # mm of the skin behind the lids' ellipsoid, so that no skin covers an open eye
SQUARENESS = 2.4  # exponent of the skull's superellipse


def shape_head(person: Person, table_size: int = TABLE_SIZE) -> HeadShape:
    """Tabulates a person's head; ``surface`` is ``(T, T, 8)``: unit normal, linear RGB, how much the place is hidden
    from above (0 to 1), and gloss.

    Args:
        person: with an anatomy.
        table_size: side of the tables.
    """
    axes = np.array(person.skull, np.float32)
    directions = tables.texel_directions(table_size)
    base = (np.abs(directions) ** SQUARENESS).sum(-1) ** np.float32(-1 / SQUARENESS)
    x, y = directions[..., 0] * axes[0] * base, directions[..., 1] * axes[1] * base
    front = np.clip(-directions[..., 2] * 3, 0, 1)
    length = np.sqrt(((directions * axes) ** 2).sum(-1))
    grid = Grid(person, x, y, front, directions)

    eye_front = tables.depth_at(base, axes, person.eye_spacing / 2, EYE_HEIGHT)
    shell = anatomy_of(person).lids.shell
    eye_depth = eye_front + shell[2] - person.eye_protrusion
    radius = base + _relief(grid) / length
    points = directions * axes * radius[..., None]
    radius += _against_the_lids(person, points, eye_depth) / length
    points = directions * axes * radius[..., None]
    painted = replace(grid, x=points[..., 0], y=points[..., 1])
    hair = painted.hair()
    radius += (7 * hair + tables.ears(person, directions, axes)) / length
    normal = tables.normals(directions * axes * radius[..., None])
    surface = np.concatenate([normal, color_face(painted, hair)], -1).astype(np.float32)

    eye_x = person.eye_spacing / 2
    eyes = np.array([[-eye_x, EYE_HEIGHT, eye_depth], [eye_x, EYE_HEIGHT, eye_depth]], np.float32)
    head = HeadShape(
        person,
        axes,
        np.zeros(3, np.float32),
        eyes,
        radius.astype(np.float32),
        surface,
        float(radius.max()) * 1.001,
    )
    nose = head.surface_points(*nose_points(person))
    origin = 0.5 * (opening_corners(head).reshape(4, 3).mean(0) + nose.mean(0))
    return replace(head, center=head.center - origin, eyes=(eyes - origin).astype(np.float32))


def nose_points(person: Person) -> tuple[Floats, Floats]:
    """x and y of the two points under the wings of the nose, before the origin moves."""
    reach = 0.8 * person.nose_width
    y = EYE_HEIGHT + person.nose_length
    return np.array([-reach, reach], np.float32), np.array([y, y], np.float32)


def _against_the_lids(person: Person, points: Floats, eye_depth: float) -> Floats:
    """Outward displacement in mm that lays the skin around the eyes against the lids' ellipsoid."""
    shell = anatomy_of(person).lids.shell
    across = np.abs(points[..., 0]) - person.eye_spacing / 2
    down = points[..., 1] - EYE_HEIGHT
    flat = np.maximum(1 - (across / shell[0]) ** 2 - (down / shell[1]) ** 2, 0.03)
    wanted = eye_depth - shell[2] * np.sqrt(flat) + SKIN_DEPTH
    reach = np.sqrt((across / (person.fissure + 6.5)) ** 2 + (down / 13.0) ** 2)
    share = (1 - tables.step(reach, 0.62, 1.1)) * (points[..., 2] < 0)
    moved: Floats = share * (points[..., 2] - wanted)
    return moved


def _relief(grid: Grid) -> Floats:
    """Outward displacement in mm of the face over the skull."""
    person, x, y, bump, step = grid.person, grid.aside, grid.y, tables.bump, tables.step
    eye_x, nose_y, mouth_y = person.eye_spacing / 2, grid.nose_y, grid.mouth_y
    anatomy = anatomy_of(person)
    along = np.clip((y - EYE_HEIGHT + 6) / (person.nose_length - 4), 0, 1)
    ridge = (5.0 + (person.nose_height - 5.0) * along**1.3) * (1 - step(y, nose_y - 3, nose_y + 4))
    ridge = ridge * step(y, EYE_HEIGHT - 18, EYE_HEIGHT + 2)
    relief = ridge * np.exp(-0.5 * (x / (5.0 + (0.42 * person.nose_width - 2.0) * along**2)) ** 2)
    relief = relief + 6.0 * bump(x, y, person.nose_width - 4.5, nose_y - 4.5, 4.0, 4.5)
    relief = relief + anatomy.brow_ridge * bump(x, y, eye_x - 5, grid.brow_y + 3, 18, 6)
    relief = relief - 4.0 * bump(x, y, eye_x - 13, EYE_HEIGHT + 1, 6, 8)
    relief = relief + 5.0 * bump(x, y, 42, 12, 14, 13)
    relief = relief - 2.0 * bump(x, y, 26, 24, 7, 12)
    open_ = anatomy.mouth.open
    relief = relief + 4.0 * bump(x, y, 0, mouth_y - 5 - 0.3 * open_, 17, 4.0)
    relief = relief + 4.5 * bump(x, y, 0, mouth_y + 6 + 0.7 * open_, 15, 4.5)
    relief = relief - 2.0 * bump(x, y, 0, mouth_y, 20, 1.5 + 0.4 * open_)
    relief = relief - 2.5 * bump(x, y, 0, mouth_y + 16 + open_, 16, 4) + 7.0 * bump(x, y, 0, mouth_y + 31, 15, 10)
    narrowing = person.jaw * 15 * step(y, 10, 95) * np.clip(x / 60, 0, 1.2) ** 2
    shape: Floats = relief * grid.front - narrowing
    return shape
