"""Draws people with the measures of people.

| measure | mean here, mm | source |
| --- | --- | --- |
| between the pupils | 63.2 | 63: Dodgson, Variation and extrema of human interpupillary distance, SPIE 5291, 2004 |
| between the inner corners | 32.8 | 31.2 to 38.5 by ethnicity: pooled review of 67 studies, PMC9029890, 2022 |
| width of an eye | 30.4 | 25.4 to 34: BioMed Research International 821428, 2013; 10.1186/s40902-019-0191-7 |
| visible iris, across | 11.7 | Ruefer et al., White-to-white corneal diameter, Cornea 24, 2005 |
| eyeball, across | 24 | Bekerman et al., Variations in eyeball diameters, J. Ophthalmology, 2014 |
| brows, nose, mouth | | the mesh's points on five portraits, in patches that ``gazenas predict`` cuts |

The angle between the optical and the visual axis, 5 degrees to the nose's side and 1.5 up, is that of the first
renderer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gazenas.data.synthetic.anatomy import Anatomy, Lids, Mouth, Rgb, Wear
from gazenas.data.synthetic.person import Person

HAIRS = (
    (0.008, 0.007, 0.007),
    (0.015, 0.011, 0.009),
    (0.035, 0.022, 0.015),
    (0.09, 0.05, 0.028),
    (0.30, 0.19, 0.09),
    (0.45, 0.43, 0.40),
)
IRISES = (
    (0.018, 0.010, 0.007),
    (0.030, 0.016, 0.010),
    (0.040, 0.021, 0.012),
    (0.060, 0.030, 0.016),
    (0.11, 0.060, 0.028),
    (0.13, 0.12, 0.06),
    (0.13, 0.19, 0.24),
    (0.18, 0.21, 0.24),
)


class _Draw:
    """Numbers out of one generator, in the order in which they are asked for."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def near(self, mean: float, deviation: float, limit: float = 2.2) -> float:
        return mean + deviation * float(np.clip(self.rng.normal(), -limit, limit))

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, share: float) -> bool:
        return bool(self.rng.uniform() < share)

    def mixed(self, palette: tuple[Rgb, ...]) -> Rgb:
        """A color between two of a palette, most often near one of them."""
        first, second = self.rng.integers(len(palette), size=2)
        share = self.rng.beta(0.5, 0.5)
        color = np.array(palette[first]) ** (1 - share) * np.array(palette[second]) ** share
        return _rgb(color * np.exp(self.rng.normal(0, 0.15) + self.rng.normal(0, 0.05, 3)))

    def skin(self) -> Rgb:
        """From very light to very dark: the darker, the redder."""
        red = float(np.exp(self.rng.uniform(np.log(0.13), np.log(0.78))))
        green = red * np.clip(0.50 + 0.16 * red + self.rng.normal(0, 0.05), 0.35, 0.85)
        blue = green * np.clip(0.62 + 0.12 * red + self.rng.normal(0, 0.09), 0.4, 1.0)
        return _rgb(np.array([red, green, blue]))


def _rgb(color: np.ndarray) -> Rgb:
    red, green, blue = (float(part) for part in np.clip(color, 0.004, 0.95))
    return red, green, blue


def draw_person(rng: np.random.Generator) -> Person:
    """Draws a person, as they look in their first picture.

    Args:
        rng: consumed in a fixed order, so that one generator state is one person.
    """
    draw = _Draw(rng)
    eye_radius, fissure = draw.near(12.0, 0.35), draw.near(15.2, 0.8)
    skin, hair = draw.skin(), draw.mixed(HAIRS)
    nasal, up = draw.near(np.radians(5.0), np.radians(1.5)), draw.near(np.radians(1.5), np.radians(1.5))
    off = [(draw.near(0.0, np.radians(0.4)), draw.near(0.0, np.radians(0.6))) for _ in range(2)]
    person = Person(
        skin=skin,
        iris=draw.mixed(IRISES),
        hair=hair,
        lips=draw.between(0.1, 0.9),
        skull=(draw.near(79, 3), draw.near(114, 4), draw.near(97, 3)),
        jaw=draw.between(0.1, 1.0),
        nose_height=draw.near(19, 3.0),
        nose_width=draw.near(18.0, 1.9),
        nose_length=draw.near(39.8, 3.0),
        brow_height=draw.near(15.3, 2.4),
        brow_thickness=draw.near(4.3, 1.0),
        brow_darkness=draw.between(0.35, 1.0) if draw.chance(0.85) else draw.between(0.05, 0.35),
        eye_spacing=draw.near(63.2, 3.0),
        eye_radius=eye_radius,
        eye_protrusion=draw.near(-1.0, 1.3),
        iris_radius=draw.near(5.85, 0.21),
        pupil_ratio=draw.between(0.25, 0.55),
        fissure=fissure,
        upper_lid=draw.near(3.7, 0.9),
        lower_lid=draw.near(4.8, 0.7),
        lid_exponents=(draw.between(1.8, 2.7), draw.between(1.8, 2.7)),
        canthal_tilt=draw.near(np.radians(2.0), np.radians(3.0)),
        liner=draw.between(0.2, 1.0),
        hairline=draw.between(48.0, 96.0),
        long_hair=draw.chance(0.4),
        beard=draw.between(0.1, 0.95) if draw.chance(0.3) else 0.0,
        glasses=0.0,
        glasses_color=draw.mixed(HAIRS),
        kappa=((up + off[0][0], nasal + off[0][1]), (up + off[1][0], -nasal + off[1][1])),
        texture_seed=int(rng.integers(2**31)),
        anatomy=_anatomy(draw, fissure, eye_radius, hair, skin),
    )
    return vary_look(person, rng)


def _anatomy(draw: _Draw, fissure: float, eye_radius: float, hair: Rgb, skin: Rgb) -> Anatomy:
    shade = float(np.mean(skin)) ** 0.5 * draw.between(0.5, 1.05)
    forward = eye_radius + draw.near(1.1, 0.15)
    age = draw.between(0.0, 1.0)
    return Anatomy(
        lids=Lids(
            shell=(fissure * draw.between(1.10, 1.20), forward * draw.between(0.98, 1.08), forward),
            corner_drop=draw.near(1.3, 0.7),
            peaks=(draw.near(-0.06, 0.10), draw.near(0.15, 0.12)),
            follow=(draw.between(0.6, 0.9), draw.between(0.2, 0.45)),
            crease=draw.between(1.0, 7.5),
            crease_darkness=draw.between(0.0, 0.6),
            bag=draw.between(0.0, 0.2) + 0.12 * age,
            shadow=draw.between(0.3, 0.85),
            white=_rgb(shade * np.array([1.0, draw.between(0.88, 0.98), draw.between(0.82, 0.98)])),
        ),
        mouth=Mouth(draw.near(22.5, 2.2), 27.5, 0.0, 0.0),
        wear=Wear((1, 1), (24, 2, 8), 0, 0, 2, 0, 80, 0, (0, 0, 0)),
        brow_ridge=draw.between(2.0, 8.0),
        brow_shape=(draw.near(0.5, 2.0), draw.between(0.5, 4.5)),
        brow_hair=_rgb(np.array(hair) * (draw.between(0.25, 1.0) if max(hair) > 0.05 else 1.0)),
        socket=draw.between(0.2, 0.95),
        age=age * draw.between(0.2, 1.0),
        moustache=draw.between(0.0, 1.3),
        gloss=draw.between(0.0, 0.45) ** 2,
        mottle=draw.between(0.2, 1.3),
    )


def vary_look(person: Person, rng: np.random.Generator) -> Person:
    """The same person at another time: expression, spectacles, hair."""
    draw, anatomy = _Draw(rng), person.anatomy
    assert anatomy is not None, "of the second renderer"
    smile = draw.between(0.3, 1.0) if draw.chance(0.45) else draw.between(-0.2, 0.2)
    opens = draw.chance(0.45)
    mouth = Mouth(
        anatomy.mouth.drop,
        draw.near(27.5, 1.6) + 7.0 * smile,
        draw.between(2.0, 15.0) * (0.45 if smile > 0.3 else 1.0) if opens else 0.0,
        draw.between(0.6, 1.0) if smile > 0.2 else draw.between(0.0, 0.6),
    )
    tall = draw.between(13.0, 23.0)
    heavy = draw.between(1.0, 3.6) if draw.chance(0.5) else draw.between(0.3, 1.2)
    wear = Wear(
        rims=(heavy, heavy * (draw.between(0.1, 1.0) if draw.chance(0.5) else 1.0)),
        lens=(
            min(draw.between(21, 28), person.eye_spacing / 2 - 5.0),
            draw.between(-1.0, 6.0),
            draw.between(4.0, tall),
        ),
        tint=draw.between(0.0, 0.45) * draw.chance(0.3),
        shine=draw.between(0.0, 0.4) * draw.chance(0.5),
        fringe=draw.between(0.5, 7.0),
        part=draw.between(-6.0, 16.0),
        side_hair=draw.between(50.0, 72.0) if person.long_hair else draw.between(66.0, 90.0),
        hat=draw.between(36.0, 62.0) * draw.chance(0.08),
        hat_color=draw.mixed(((0.01, 0.01, 0.012), (0.05, 0.02, 0.02), (0.02, 0.03, 0.08), (0.4, 0.36, 0.3))),
    )
    lift, squint = draw.near(0.0, 1.8), 0.5 * max(smile, 0.0) + draw.between(0.0, 1.0) * draw.chance(0.4)
    return replace(
        person,
        glasses=tall if draw.chance(0.3) else 0.0,
        brow_height=person.brow_height + lift,
        upper_lid=person.upper_lid + 0.3 * lift - squint,
        lower_lid=person.lower_lid - 1.6 * max(smile, 0) - squint,
        anatomy=replace(anatomy, mouth=mouth, wear=wear),
    )
