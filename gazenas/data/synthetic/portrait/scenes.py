"""Draws scenes as photographs have them: heads most often near the front, light from above, pictures developed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.synthetic import scene as first
from gazenas.data.synthetic.development import sample_development
from gazenas.data.synthetic.scene import EYE_LIMIT, HEAD_LIMIT, Scene
from gazenas.gaze import angles_to_vectors

TARGETS = (350.0, 3000.0)  # mm, of what is looked at
EVEN = 1.25  # both parameters of the beta distribution of the gaze in the head; 1 is uniform
FRONT = 2.2  # both parameters of the beta distribution of head poses, more mass toward the front than the first's 1.6


def draw_scene(rng: np.random.Generator, roll: float = 0.0) -> Scene:
    """Draws a scene; gaze in the head nearly uniform over what eyes reach, roll uniform up to ``roll`` radians."""
    pitch, yaw = HEAD_LIMIT * (2 * rng.beta(FRONT, FRONT, 2) - 1)
    warmth = rng.normal(0, 0.08)
    tint = np.array([1 + warmth, 1.0, 1 - warmth])
    strength, even = rng.uniform(0.3, 1.2), rng.uniform(0.0, 1.0)
    drawn = first.sample_scene(rng, roll)
    lit = replace(
        drawn,
        head_pose=(float(pitch), float(yaw)),
        light=_toward(rng, 1.6, (-1.6, 0.4)),
        light_color=strength * tint,
        fill=_toward(rng, 2.0, (-1.0, 0.8)),
        fill_color=strength * rng.uniform(0.05, 0.7) * tint[::-1],
        ambient=(0.06 + 0.5 * even**2) * (1 + rng.normal(0, 0.05, 3)),
        background=_background(rng),
    )
    return vary_eyes(lit, rng)


def vary_eyes(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same scene with another gaze, lids, pupils and glint, and developed otherwise."""
    in_head = EYE_LIMIT * (2 * rng.beta(EVEN, EVEN, 2) - 1)
    return replace(
        scene,
        target=float(np.exp(rng.uniform(*np.log(TARGETS)))) * angles_to_vectors(in_head),
        lid_opening=float(np.clip(rng.normal(1.0, 0.24), 0.4, 1.5)),
        pupil=float(rng.uniform(0.85, 1.15)),
        glint=float(rng.uniform(0.0, 3.0)),
        noise_seed=int(rng.integers(2**31)),
        development=sample_development(rng),
    )


def _toward(rng: np.random.Generator, aside: float, heights: tuple[float, float]) -> Floats:
    vector = np.array([rng.uniform(-aside, aside), rng.uniform(*heights), -1.0])
    unit: Floats = vector / np.linalg.norm(vector)
    return unit


def _background(rng: np.random.Generator) -> Floats:
    """A small picture: one tone, soft clouds, or blocks with edges."""
    side = int(rng.integers(2, 20))
    tone = np.exp(rng.uniform(np.log(0.01), np.log(0.9))) * np.exp(rng.normal(0, 0.25, 3))
    picture = np.ones((side, side, 3)) * tone * np.exp(rng.uniform(0, 0.5) * rng.normal(size=(side, side, 1)))
    for _ in range(int(rng.integers(0, 6))):
        top, left = rng.integers(0, side, 2)
        high, wide = rng.integers(1, side + 1, 2)
        block = np.exp(rng.uniform(np.log(0.01), np.log(0.9))) * np.exp(rng.normal(0, 0.35, 3))
        picture[top : top + high, left : left + wide] = block
    clipped: Floats = np.clip(picture, 0.0, 1.0).astype(np.float32)
    return clipped
