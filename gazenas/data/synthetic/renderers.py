"""The renderers by number: what draws people, scenes and pictures. The same seed gives the same bytes with each."""

from __future__ import annotations

from collections.abc import Callable
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


class DrawFace(Protocol):
    """``(size, size, 3)`` RGB of a head in a scene; ``zoom`` is of the focal length."""

    def __call__(self, head: HeadShape, scene: Scene, size: int, zoom: float = 1.0) -> NDArray[np.uint8]:
        """One picture."""
        ...


@dataclass(frozen=True)
class Renderer:
    """What draws people, scenes and pictures.

    Attributes:
        sample_person, build_head, sample_scene, render: see the first renderer's.
        vary_look: the same person with another expression, other hair and spectacles.
        looks: of a person, among all images without recordings.
    """

    sample_person: Callable[[np.random.Generator], Person]
    build_head: Callable[[Person], HeadShape]
    sample_scene: DrawScene
    render: DrawFace
    vary_look: Callable[[Person, np.random.Generator], Person]
    looks: int


def _same(someone: Person, rng: np.random.Generator) -> Person:
    return someone


RENDERERS: dict[int, Renderer] = {
    1: Renderer(person.sample_person, head.build_head, scene.sample_scene, rendering.render, _same, 1),
    2: Renderer(
        people.sample_person,
        portrait_head.build_head,
        scenes.sample_scene,
        portrait_rendering.render,
        people.vary_look,
        5,
    ),
}
