"""What the second renderer knows of a person beyond :class:`gazenas.data.synthetic.person.Person`."""

from __future__ import annotations

from dataclasses import dataclass

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Lids:
    """How the eyes open; lengths in mm.

    Attributes:
        shell: semi-axes (across, down, forward) of the ellipsoid about the eyeball's center on which the lids lie; it
            is longer than the eyeball across, where the corners of an eye reach beyond the ball.
        corner_drop: of the line between the corners below the eye center.
        peaks: where the upper lid is highest and the lower one lowest, in half widths of the opening from its middle,
            toward the temple.
        follow: how far the upper and the lower lid travel with the iris, in its own way.
        crease: of the upper lid's fold above its edge.
        crease_darkness, bag, shadow: of the fold, of the skin under the eye, and of the shadow that the lid throws onto
            the ball, 0 to 1.
        white: linear RGB of the sclera.
    """

    shell: tuple[float, float, float]
    corner_drop: float
    peaks: tuple[float, float]
    follow: tuple[float, float]
    crease: float
    crease_darkness: float
    bag: float
    shadow: float
    white: Rgb


@dataclass(frozen=True)
class Mouth:
    """How far it lies under the nose, half its width, how far it opens (mm), and how much of the teeth is seen."""

    drop: float
    half_width: float
    open: float
    teeth: float


@dataclass(frozen=True)
class Wear:
    """Spectacles, hair and hats.

    Attributes:
        rims: thickness of a lens's rim at its top and at its bottom, mm.
        lens: half width of a lens, how far its middle lies under the eye, and the radius of its corners, mm.
        tint, shine: of the lenses, 0 to 1.
        fringe: raggedness of the hair over the forehead, mm.
        part: how much the hair comes down toward the temples, mm at 60 mm from the middle.
        side_hair: distance from the middle where hair beside the face begins, mm.
        hat: height above the face center where one begins, mm, 0 for none, and its color.
    """

    rims: tuple[float, float]
    lens: tuple[float, float, float]
    tint: float
    shine: float
    fringe: float
    part: float
    side_hair: float
    hat: float
    hat_color: Rgb


@dataclass(frozen=True)
class Anatomy:
    """The face as it is drawn by the second renderer.

    Attributes:
        lids, mouth, wear: see there.
        brow_ridge: mm in front of the forehead.
        brow_shape: slope toward the temple and height of the arch, mm over the brow's length.
        brow_hair: linear RGB.
        socket: darkness of the eye sockets in light from above, 0 to 1.
        age: wrinkles, 0 to 1.
        moustache: 0 to 1, of the beard's density.
        gloss: of the skin.
        mottle: unevenness of the skin's color.
    """

    lids: Lids
    mouth: Mouth
    wear: Wear
    brow_ridge: float
    brow_shape: tuple[float, float]
    brow_hair: Rgb
    socket: float
    age: float
    moustache: float
    gloss: float
    mottle: float
