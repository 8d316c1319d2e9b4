"""Where on a screen somebody looks, and where the screen is: typed, or solved from dots that somebody looked at.

Nine dots at a gaze error of some degrees do not say where a screen is to the millimeter, so the solution is the most
probable one: near the guess (the camera at the middle of the top edge, the screen in its image plane), as far as the
dots do not say otherwise. A constant error of the person's gaze is solved with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from gazenas.data.arrays import Floats
from gazenas.data.normalization.cameras import finite_array
from gazenas.data.normalization.geometry import Screen
from gazenas.data.normalization.pose import rotation_matrix
from gazenas.data.normalization.screens import parse_screen
from gazenas.errors import InputError
from gazenas.files import read_json, write_json
from gazenas.gaze import angles_to_vectors, vectors_to_angles

# How far things are from the guess, as standard deviations: gaze, tilt, place, the person's constant error.
GAZE, TILT, BIAS = np.radians(4.0), np.radians(8.0), np.radians(8.0)
PLACE = np.array([30.0, 30.0, 20.0])  # mm: across, down, forward
FEWEST = 4  # dots, one of which is left out in turn


@dataclass(frozen=True)
class Look:
    """Somebody's gaze at a dot.

    Attributes:
        origin: ``(3,)`` face center in the camera's frame, mm.
        rotation: ``(3, 3)`` camera frame to normalized frame.
        angles: ``(2,)`` pitch and yaw in the normalized frame, radians.
        dot: ``(2,)`` position in pixels.
    """

    origin: Floats
    rotation: Floats
    angles: Floats
    dot: Floats


@dataclass(frozen=True)
class PlacedScreen:
    """A screen before a camera, and what to add to a person's gaze.

    Attributes:
        screen: its frame.
        pixels: width and height.
        bias: ``(2,)`` pitch and yaw in radians that are added in the normalized frame.
    """

    screen: Screen
    pixels: tuple[int, int]
    bias: Floats

    def point(self, look_origin: Floats, rotation: Floats, angles: Floats) -> Floats:
        """``(2,)`` position in pixels that a gaze meets, beside the screen too.

        Raises:
            InputError: where it points away from the screen's plane.
        """
        direction = angles_to_vectors(np.asarray(angles, np.float64) + self.bias) @ rotation
        return self.screen.point(look_origin, direction)


def guess_screen(size: Sequence[float], pixels: tuple[int, int], offset: Sequence[float], tilt: float) -> PlacedScreen:
    """A screen whose place is typed.

    Args:
        size: width and height in mm.
        pixels: the same in pixels.
        offset: of the middle of its top edge from the camera in mm: to the right as the person sees it, down, and
            toward the person.
        tilt: of its upper edge away from the person, in radians.
    """
    turned = rotation_matrix(np.array([tilt, 0.0, 0.0])) @ np.diag([-1.0, 1.0, -1.0])
    middle = np.array([-offset[0], offset[1], offset[2]])
    corner = middle - size[0] / 2 * turned[:, 0]
    pixel = np.array([size[0] / pixels[0], size[1] / pixels[1]])
    return PlacedScreen(Screen(turned, corner, pixel), pixels, np.zeros(2))


def solve_screen(guess: PlacedScreen, looks: Sequence[Look]) -> PlacedScreen:
    """The most probable screen and constant error of gaze.

    Args:
        guess: where it is thought to be.
        looks: at dots.
    """
    origins, rotations, angles, dots = (
        np.stack([np.asarray(getattr(look, name), np.float64) for look in looks])
        for name in ("origin", "rotation", "angles", "dot")
    )

    def moved(change: Floats) -> Screen:
        middle = guess.screen.target(np.array([guess.pixels[0] / 2, 0.0]))
        turn = rotation_matrix(change[:3])
        corner = turn @ (guess.screen.translation - middle) + middle + change[3:6]
        return Screen(turn @ guess.screen.rotation, corner, guess.screen.pixel)

    def residuals(change: Floats) -> Floats:
        screen = moved(change)
        flat = np.concatenate([dots * screen.pixel, np.zeros((len(dots), 1))], 1)
        points = flat @ screen.rotation.T + screen.translation
        wanted = vectors_to_angles(np.einsum("nij,nj->ni", rotations, points - origins))
        off = (wanted - angles - change[6:]) / GAZE
        off[:, 1] *= np.cos(angles[:, 0])
        prior = np.concatenate([change[:3] / TILT, change[3:6] / PLACE, change[6:] / BIAS])
        return np.concatenate([off.ravel(), prior])

    found = least_squares(residuals, np.zeros(8), loss="soft_l1", x_scale=[0.1] * 3 + [20.0] * 3 + [0.1] * 2).x
    return PlacedScreen(moved(found), guess.pixels, found[6:])


def errors_mm(placed: PlacedScreen, looks: Sequence[Look]) -> Floats:
    """``(n,)`` distances in mm on the screen's plane between dots and where gazes meet it; infinite for a gaze that
    points away."""
    off = []
    for look in looks:
        try:
            apart = placed.point(look.origin, look.rotation, look.angles) - look.dot
        except InputError:
            off.append(np.inf)
        else:
            off.append(float(np.linalg.norm(apart * placed.screen.pixel)))
    return np.array(off)


def held_out_errors(guess: PlacedScreen, looks: Sequence[Look]) -> Floats:
    """``(n,)`` distances in mm, each dot by a screen that was solved from the others.

    Raises:
        InputError: where there are fewer than ``FEWEST`` dots.
    """
    dots = np.stack([look.dot for look in looks])
    places = np.unique(dots, axis=0)
    if len(places) < FEWEST:
        raise InputError(f"expected looks at {FEWEST} dots or more, found {len(places)}")
    off = np.zeros(len(looks))
    for place in places:
        left_out = (dots == place).all(1)
        placed = solve_screen(guess, [look for look, out in zip(looks, left_out, strict=True) if not out])
        off[left_out] = errors_mm(placed, [look for look, out in zip(looks, left_out, strict=True) if out])
    return off


def middle_errors(guess: PlacedScreen, looks: Sequence[Look]) -> Floats:
    """``(n,)`` distances in mm from the middle of all dots: what one is off who always answers that."""
    dots = np.stack([look.dot for look in looks])
    off: Floats = np.linalg.norm((dots - np.unique(dots, axis=0).mean(0)) * guess.screen.pixel, axis=1)
    return off


def write_screen(path: Path, placed: PlacedScreen, more: Mapping[str, Any]) -> None:
    """A JSON file that :func:`read_screen` reads."""
    values = {
        "rotation": placed.screen.rotation.tolist(),
        "translation": placed.screen.translation.tolist(),
        "pixel": placed.screen.pixel.tolist(),
        "pixels": list(placed.pixels),
        "bias": placed.bias.tolist(),
    }
    write_json(path, values | dict(more))


def read_screen(path: Path) -> PlacedScreen:
    """A screen out of a JSON file.

    Raises:
        InputError: where it is absent or holds something else.
    """
    values = read_json(path)
    try:
        screen = parse_screen(values)
        pixels = finite_array(values.get("pixels"), (2,), "pixels")
        bias = finite_array(values.get("bias", [0, 0]), (2,), "bias")
        if pixels.min() < 1:
            raise ValueError(f"pixels: expected numbers above 0, found {pixels.tolist()}")
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return PlacedScreen(screen, (int(pixels[0]), int(pixels[1])), bias)
