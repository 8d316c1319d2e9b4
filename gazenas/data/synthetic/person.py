"""Who is rendered: the numbers that stay the same in all images of one person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gazenas.data.synthetic.anatomy import Anatomy

SKINS = ((0.93, 0.76, 0.66), (0.86, 0.66, 0.53), (0.76, 0.55, 0.42), (0.58, 0.40, 0.29), (0.40, 0.27, 0.20))
IRISES = ((0.30, 0.18, 0.09), (0.42, 0.27, 0.12), (0.36, 0.42, 0.22), (0.30, 0.45, 0.60), (0.45, 0.52, 0.56))
HAIRS = ((0.05, 0.04, 0.04), (0.17, 0.10, 0.06), (0.35, 0.22, 0.12), (0.66, 0.50, 0.30), (0.55, 0.54, 0.53))


@dataclass(frozen=True)
class Person:
    """Lengths in mm, angles in radians, colors as linear RGB in [0, 1].

    Pairs hold the eye at the image's left first. Ocular axes: the optical axis is where the iris points, the
    visual axis is where the person looks; ``kappa`` is what must be added to the visual (pitch, yaw) of each
    eye to get the optical one.
    """

    skin: tuple[float, float, float]
    iris: tuple[float, float, float]
    hair: tuple[float, float, float]
    lips: float  # how much redder than the skin, 0 to 1
    skull: tuple[float, float, float]  # semi-axes: half width, half height, half depth
    jaw: float  # how much the lower face narrows
    nose_height: float
    nose_width: float
    nose_length: float
    brow_height: float  # of the brow above the eye center
    brow_thickness: float
    brow_darkness: float
    eye_spacing: float
    eye_radius: float
    eye_protrusion: float  # of the closed lid in front of the cheek-to-brow surface
    iris_radius: float
    pupil_ratio: float
    fissure: float  # half the width of the eye opening
    upper_lid: float  # height of the opening above the eye center, looking straight ahead
    lower_lid: float
    lid_exponents: tuple[float, float]
    canthal_tilt: float
    liner: float  # darkness of the lash line, 0 to 1
    hairline: float
    long_hair: bool
    beard: float
    glasses: float  # half height of a lens, 0 without glasses
    glasses_color: tuple[float, float, float]
    kappa: tuple[tuple[float, float], tuple[float, float]]
    texture_seed: int
    anatomy: Anatomy | None = None  # of the second renderer

    @property
    def shell_radius(self) -> float:
        """Radius of the sphere on which the eyelids lie."""
        return self.eye_radius + 1.0


def sample_person(rng: np.random.Generator) -> Person:
    """Draws a person.

    Args:
        rng: consumed in a fixed order, so that one generator state is one person.
    """

    def near(mean: float, deviation: float, limit: float = 2.0) -> float:
        return mean + deviation * float(np.clip(rng.normal(), -limit, limit))

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def mixed(palette: tuple[tuple[float, float, float], ...]) -> tuple[float, float, float]:
        first, second = rng.integers(len(palette), size=2)
        share = rng.uniform()
        color = share * np.array(palette[first]) + (1 - share) * np.array(palette[second])
        red, green, blue = (float(c) for c in np.clip(color * rng.normal(1.0, 0.04, 3), 0.02, 1.0))
        return red, green, blue

    skin, iris, hair = mixed(SKINS), mixed(IRISES), mixed(HAIRS)
    eye_radius = near(12.6, 0.35)
    nasal, up = near(np.radians(5.0), np.radians(1.5)), near(np.radians(1.5), np.radians(1.5))
    asymmetry = [(near(0.0, np.radians(0.4)), near(0.0, np.radians(0.6))) for _ in range(2)]
    return Person(
        skin=skin,
        iris=iris,
        hair=hair,
        lips=between(0.15, 0.8),
        skull=(near(76, 3), near(114, 4), near(97, 3)),
        jaw=between(0.6, 1.4),
        nose_height=near(20, 2.5),
        nose_width=near(8.0, 1.0),
        nose_length=near(40, 3),
        brow_height=near(17, 1.8),
        brow_thickness=near(3.0, 0.8),
        brow_darkness=between(0.35, 0.95),
        eye_spacing=near(63, 2.8),
        eye_radius=eye_radius,
        eye_protrusion=near(1.6, 0.5),
        iris_radius=near(6.0, 0.25),
        pupil_ratio=between(0.28, 0.5),
        fissure=eye_radius * between(0.86, 0.97),
        upper_lid=near(5.0, 0.6),
        lower_lid=near(5.0, 0.5),
        lid_exponents=(between(1.8, 2.8), between(1.8, 2.6)),
        canthal_tilt=near(np.radians(3.5), np.radians(3.0)),
        liner=between(0.25, 0.95),
        hairline=between(48.0, 66.0),
        long_hair=bool(rng.uniform() < 0.4),
        beard=between(0.15, 0.6) if rng.uniform() < 0.3 else 0.0,
        glasses=between(15.0, 20.0) if rng.uniform() < 0.25 else 0.0,
        glasses_color=mixed(HAIRS),
        kappa=((up + asymmetry[0][0], nasal + asymmetry[0][1]), (up + asymmetry[1][0], -nasal + asymmetry[1][1])),
        texture_seed=int(rng.integers(2**31)),
    )
