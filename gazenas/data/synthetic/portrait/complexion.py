"""The color of a face over the table of directions: skin, brows, lips, wrinkles, beard, hair, hat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from gazenas.data.arrays import Floats
from gazenas.data.synthetic.head import EYE_HEIGHT, bump, noise, step
from gazenas.data.synthetic.person import Person
from gazenas.data.synthetic.portrait.lids import anatomy_of

TEETH = (0.62, 0.56, 0.46)
HIDDEN = 0.85  # of the light from above, at most


@dataclass(frozen=True)
class Grid:
    """The table's texels.

    Attributes:
        person: whose.
        x, y: ``(T, T)`` where they lie in front, mm, before the origin moves to the face center.
        front: 1 in front, 0 behind.
        directions: ``(T, T, 3)``.
    """

    person: Person
    x: Floats
    y: Floats
    front: Floats
    directions: Floats

    @property
    def aside(self) -> Floats:
        """Distance from the middle of the face."""
        return np.abs(self.x)

    @property
    def nose_y(self) -> float:
        """Where the nose ends."""
        return EYE_HEIGHT + self.person.nose_length

    @property
    def mouth_y(self) -> float:
        """Where the lips meet."""
        return self.nose_y + anatomy_of(self.person).mouth.drop

    @property
    def brow_y(self) -> float:
        """The brows' height over the eyes' middle."""
        return EYE_HEIGHT - self.person.brow_height

    def noise(self, salt: int, scale: float) -> Floats:
        """Smooth, of unit deviation, with features of about ``scale`` texels; the person's own."""
        rng, size = np.random.default_rng([self.person.texture_seed, salt]), self.x.shape[0]
        coarser = max(1, int(scale / 1.5))  # texels of the table a texel of the noise
        field = noise(rng, -(-size // coarser) + 1, scale / coarser)
        if coarser == 1:
            return field[:size, :size]
        at = np.arange(size, dtype=np.float32) / coarser
        low, share = at.astype(np.intp), at - at.astype(np.intp)
        rows = field[low] * (1 - share)[:, None] + field[low + 1] * share[:, None]
        smooth: Floats = rows[:, low] * (1 - share) + rows[:, low + 1] * share
        return smooth

    def hair(self) -> Floats:
        """``(T, T)`` how much a place is hair, hats included, 0 to 1."""
        person, wear = self.person, anatomy_of(self.person).wear
        ragged = self.y + wear.fringe * self.noise(0, 2.5) + 0.4 * wear.fringe * self.noise(1, 9.0)
        line = -person.hairline + wear.part * (self.x / 60) ** 2
        crown = step(line - ragged, -2.5, 2.5)
        if wear.hat:
            crown = np.maximum(crown, step(-wear.hat - self.y, -1.0, 1.0))
        back = step(self.directions[..., 2] - 0.004 * np.maximum(self.y - 30, 0), 0.22, 0.34) * (self.y < 60)
        aside = step(self.aside + 1.5 * self.noise(2, 2.0), wear.side_hair - 3, wear.side_hair + 3)
        low = 200.0 if person.long_hair else 10.0
        mask: Floats = np.maximum(np.maximum(crown, back), aside * (self.y < low))
        return mask


def color_face(grid: Grid, hair: Floats) -> Floats:
    """``(T, T, 5)``: linear RGB, how much a place is hidden from light from above, gloss."""
    anatomy = anatomy_of(grid.person)
    color = _skin(grid)
    color *= (1 - _creases(grid) * grid.front)[..., None]
    _paint_mouth(grid, color)
    _paint_hair(grid, color, hair)
    hidden = np.clip(_hidden(grid), 0, HIDDEN) * grid.front * (1 - hair)
    gloss = anatomy.gloss * (1 - hair) * (1 + 0.3 * grid.noise(3, 2.0))
    values: Floats = np.concatenate([np.clip(color, 0.004, 1.0), hidden[..., None], gloss[..., None]], -1)
    return values


def _skin(grid: Grid) -> Floats:
    """Skin with its unevenness, redder on cheeks and nose and around the eyes."""
    person, aside, y, size = grid.person, grid.aside, grid.y, grid.x.shape[0]
    mottle = anatomy_of(person).mottle
    color = np.ones((size, size, 3), np.float32) * np.array(person.skin, np.float32)
    uneven = 0.07 * grid.noise(4, 12) + 0.05 * grid.noise(5, 4) + 0.04 * grid.noise(6, 1.2)
    color *= np.exp(mottle * uneven)[..., None]
    red = 0.16 * bump(aside, y, 38, 16, 15, 12) + 0.16 * bump(aside, y, 0, grid.nose_y - 6, 10, 8)
    red = red + 0.10 * bump(aside, y, person.eye_spacing / 2, EYE_HEIGHT, 19, 11) + 0.04 * grid.noise(7, 10)
    color *= 1 - np.clip(mottle * red * grid.front, -0.2, 0.5)[..., None] * np.array([0.1, 1.0, 0.9], np.float32)
    return color


def _line(distance: Floats, width: float) -> Floats:
    drawn: Floats = np.exp(-((distance / width) ** 2))
    return drawn


def _creases(grid: Grid) -> Floats:
    """How much darker the skin is where it folds, 0 to 1."""
    person, x, y = grid.person, grid.aside, grid.y
    anatomy = anatomy_of(person)
    age, eye_x, smile = anatomy.age, person.eye_spacing / 2, np.clip((anatomy.mouth.half_width - 28) / 7, 0, 1)
    nostril = 0.75 * bump(x, y, 6.5, grid.nose_y + 0.5, 4.0, 1.8)
    under = 0.35 * bump(x, y, 0, grid.nose_y + 4, 12, 3.0) + 0.25 * bump(x, y, 0, grid.mouth_y + 14, 15, 3)
    wing = 0.4 * _line(x - person.nose_width - 0.5, 1.6) * bump(x, y, 17, grid.nose_y - 3, 9, 6)
    down = np.clip((y - grid.nose_y + 5) / 30, 0, 1)
    fold = _line(x - (person.nose_width + 1.5 + 15 * down**0.8), 2.3) * step(down, 0, 0.15) * step(-down, -1.0, -0.75)
    fold = (0.08 + 0.3 * age + 0.3 * smile) * fold
    from_eye = np.hypot((x - eye_x) * 0.85, y - EYE_HEIGHT)
    bag = anatomy.lids.bag * (
        bump(x, y, eye_x - 3, EYE_HEIGHT + 9, 11, 3.5) + 0.7 * _line(from_eye - 15, 1.6) * (y > -12)
    )
    feet = np.clip(np.sin((y - EYE_HEIGHT) * 1.1 + 0.4 * grid.noise(8, 5)), 0, 1) * bump(x, y, eye_x + 21, -18, 5, 9)
    rows = np.clip(np.sin(y * 0.75 + 0.7 * grid.noise(9, 18)), 0, 1) ** 3 * bump(x, y, 0, -58, 32, 10)
    frown = _line(x - 5.5, 1.5) * bump(x, y, 5, grid.brow_y, 5, 7)
    wrinkles = age * (0.35 * feet + 0.25 * rows + 0.35 * frown) + 0.15 * smile * feet
    chin = 0.45 * step(y, grid.mouth_y + 34, grid.mouth_y + 52)
    dark: Floats = np.clip(nostril + under + wing + fold + bag + wrinkles + chin, 0, 0.92)
    return dark


def _hidden(grid: Grid) -> Floats:
    """How much a place is hidden from above: under the brows, the nose, the lip, the chin."""
    person, x, y = grid.person, grid.aside, grid.y
    anatomy, eye_x = anatomy_of(person), person.eye_spacing / 2
    deep = anatomy.socket * (0.45 + 0.55 * np.clip(anatomy.brow_ridge / 6, 0, 1))
    sockets = deep * bump(x, y, eye_x - 3, EYE_HEIGHT - 5, 17, 8.5) + 0.7 * deep * bump(
        x, y, eye_x - 14, EYE_HEIGHT, 6, 9
    )
    nose = 0.8 * bump(x, y, 0, grid.nose_y + 5, 13, 5)
    lip = 0.5 * bump(x, y, 0, grid.mouth_y + 14 + anatomy.mouth.open, 15, 4)
    low: Floats = sockets + nose + lip + 0.8 * step(y, grid.mouth_y + 36, grid.mouth_y + 50)
    return low


def _paint_mouth(grid: Grid, color: Floats) -> None:
    """Lips, and teeth or darkness where the mouth is open."""
    person, x, y = grid.person, grid.aside, grid.y
    mouth = anatomy_of(person).mouth
    wide = mouth.half_width
    smile = (wide - 27.5) / 7.0
    middle = grid.mouth_y - 4.0 * smile * (x / wide) ** 2 + 0.35 * mouth.open
    profile = np.sqrt(np.clip(1 - (x / wide) ** 2, 0, 1))
    gap = 0.5 * mouth.open * profile + 0.3
    upper, lower = gap + 6.5 * profile**1.3, gap + 8.5 * profile
    inside = step(wide - x, -0.5, 1.5) * grid.front
    away = y - middle
    lips = inside * step(away + upper, -0.8, 0.8) * step(lower - away, -0.8, 0.8)
    red = np.array(person.skin, np.float32) * np.array([0.80, 0.42, 0.44], np.float32)
    color += (lips * (0.25 + 0.75 * person.lips))[..., None] * (red - color)
    opening = inside * step(gap - np.abs(away), -0.5, 0.5)
    teeth = np.clip(mouth.teeth * step(-away, -gap * 0.5, 0.3), 0, 1) * (gap > 1.0) if mouth.open else 0 * gap
    dark = np.array([0.05, 0.02, 0.018], np.float32)
    hole = dark + teeth[..., None] * (np.array(TEETH, np.float32) * (0.4 + 0.6 * max(person.skin)) - dark)
    color += opening[..., None] * (hole - color)
    corner = 0.4 * bump(x, y, wide, grid.mouth_y - 4.0 * smile, 2.5, 2.5)
    color *= 1 - (corner * grid.front)[..., None]


def _paint_hair(grid: Grid, color: Floats, hair: Floats) -> None:
    """Brows, beard, hair of the head, hat."""
    person, x, y = grid.person, grid.aside, grid.y
    anatomy, wear = anatomy_of(person), anatomy_of(person).wear
    slope, arch = anatomy.brow_shape
    along = (x - 13) / 38  # 0 at the inner end, 1 at the outer
    middle = grid.brow_y + slope * (0.5 - along) - arch * np.sin(np.pi * np.clip(along * 0.85, 0, 1)) + 0.55 * arch
    thick = person.brow_thickness * (1.15 - 0.75 * np.clip(along, 0, 1) ** 2)
    brow = np.exp(-(np.abs((y - middle) / thick) ** 3)) * step(along, -0.12, 0.12) * step(-along, -1.05, -0.85)
    brow = brow * grid.front * np.clip(1 - 0.3 * np.abs(grid.noise(10, 1.0)), 0, 1)
    color += (np.clip(brow, 0, 1) * person.brow_darkness)[..., None] * (np.array(anatomy.brow_hair) - color)
    hair_color = np.array(person.hair, np.float32)
    mouth = np.hypot((x / (anatomy.mouth.half_width + 1)), (y - grid.mouth_y - 0.4 * anatomy.mouth.open) / 9.0)
    cheeks = step(y - 0.30 * (62 - x) + 3 * grid.noise(11, 3), 14, 28)
    lip = anatomy.moustache * bump(x, y, 0, grid.mouth_y - 12, 22, 5.5)
    beard = person.beard * np.clip(np.maximum(cheeks, lip), 0, 1) * step(mouth, 0.85, 1.1) * grid.front
    beard = beard * np.clip(1 - 0.35 * np.abs(grid.noise(12, 1.0)), 0, 1)
    color += beard[..., None] * (hair_color - color)
    strands = np.exp(0.6 * ndimage.gaussian_filter1d(grid.noise(13, 0.8), 5, axis=0))
    color += hair[..., None] * (hair_color * strands[..., None] - color)
    if wear.hat:
        hat = step(-wear.hat - y, -1.0, 1.0) * (1 + 0.15 * grid.noise(14, 3))
        color += hat[..., None] * (np.array(wear.hat_color, np.float32) - color)
