"""One recording of a person: what all images of it have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.synthetic.person import Person
from gazenas.data.synthetic.scene import HEAD_LIMIT, Scene, sample_scene

FEWEST, MOST = 2, 5  # recordings of a person, as in the collection that BatchNorm was first calibrated on
SEAT = np.radians((6.0, 10.0))  # pitch, yaw by which a seat turns all heads of a recording at most
FLICKER = 0.05  # deviation of light and exposure within a recording


@dataclass(frozen=True)
class Session:
    """A recording.

    Attributes:
        shown: light, background and the camera's flaws, which its images share.
        seat: ``(2,)`` pitch and yaw in radians that are added to every head pose.
        glasses: half height of a lens that is worn, 0 without glasses.
    """

    shown: Scene
    seat: Floats
    glasses: float

    def dress(self, person: Person) -> Person:
        """The person as they came."""
        return replace(person, glasses=self.glasses)

    def place(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """The scene, its head turned by the seat and the gaze with it, in this light and before this camera."""
        shown, flicker = self.shown, 1 + FLICKER * rng.normal()
        pose = np.clip(np.array(scene.head_pose) + self.seat, -HEAD_LIMIT, HEAD_LIMIT)
        return replace(
            scene,
            head_pose=(float(pose[0]), float(pose[1])),
            light=shown.light,
            light_color=shown.light_color * flicker,
            fill=shown.fill,
            fill_color=shown.fill_color * flicker,
            ambient=shown.ambient,
            background=shown.background,
            exposure=shown.exposure * (1 + FLICKER * float(rng.normal())),
            blur=shown.blur,
            noise=shown.noise,
            glint=shown.glint,
            development=shown.development,
        )


def sample_sessions(
    rng: np.random.Generator,
    person: Person,
    most: int,
    sample: Callable[[np.random.Generator], Scene] = sample_scene,
) -> list[Session]:
    """Draws from two to ``most`` recordings of a person, each with another light, place, camera and seat; who has
    glasses wears them in some. ``sample`` draws what they show."""
    return [
        Session(
            sample(rng),
            rng.uniform(-SEAT, SEAT),
            person.glasses if rng.uniform() < 0.5 else 0.0,
        )
        for _ in range(int(rng.integers(FEWEST, most + 1)))
    ]
