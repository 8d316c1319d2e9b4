"""The renderers by number: what draws people, scenes and pictures. The same seed gives the same bytes with each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gazenas.data.synthetic import head, person, rendering, scene
from gazenas.data.synthetic.head import HeadShape
from gazenas.data.synthetic.person import Person
from gazenas.data.synthetic.portrait import head as portrait_head
from gazenas.data.synthetic.portrait import people, scenes
from gazenas.data.synthetic.portrait import rendering as portrait_rendering
from gazenas.data.synthetic.scene import Scene


class DrawScene(Protocol):
    """Draws a scene; heads are rolled by up to ``roll`` radians."""

    def __call__(self, rng: np.random.Generator, roll: float = 0.0) -> Scene:
        """One scene."""
        ...


class DrawFaces(Protocol):
    """``(size, size, 3)`` RGB of a head in scenes that are alike but for what the eyes do and for development."""

    def __call__(self, head: HeadShape, scenes: Sequence[Scene], size: int) -> list[NDArray[np.uint8]]:
        """A picture a scene."""
        ...


@dataclass(frozen=True)
class Renderer:
    """What draws people, scenes and pictures.

    Attributes:
        sample_person, build_head, sample_scene, render_all: see the first renderer's.
        vary_eyes: the same scene with other eyes and another development.
        vary_look: the same person with another expression, other hair and spectacles.
        looks: of a person, among all images without recordings.
        glances: images of a head in one place and one light.
    """

    sample_person: Callable[[np.random.Generator], Person]
    build_head: Callable[[Person], HeadShape]
    sample_scene: DrawScene
    render_all: DrawFaces
    vary_eyes: Callable[[Scene, np.random.Generator], Scene]
    vary_look: Callable[[Person, np.random.Generator], Person]
    looks: int
    glances: int


def _same_look(person: Person, rng: np.random.Generator) -> Person:
    return person


def _same_eyes(scene: Scene, rng: np.random.Generator) -> Scene:
    return scene


def _render_all(head: HeadShape, scenes: Sequence[Scene], size: int) -> list[NDArray[np.uint8]]:
    return [rendering.render(head, scene, size) for scene in scenes]


RENDERERS: dict[int, Renderer] = {
    1: Renderer(person.sample_person, head.build_head, scene.sample_scene, _render_all, _same_eyes, _same_look, 1, 1),
    2: Renderer(
        people.draw_person,
        portrait_head.shape_head,
        scenes.draw_scene,
        portrait_rendering.render_all,
        scenes.vary_eyes,
        people.vary_look,
        3,
        3,
    ),
}
