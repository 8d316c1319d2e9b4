"""How a data set is to be read where its files leave it open."""

from __future__ import annotations

from dataclasses import dataclass

from gazenas.errors import InputError

ORDERS = ("auto", "pitch,yaw", "yaw,pitch")
UNITS = ("auto", "degrees", "radians")
FRAMES = ("auto", "R", "SR", "none")
FLIPS = ("", "pitch", "yaw", "pitch,yaw")
COLORS = ("auto", "RGB", "BGR")


@dataclass(frozen=True)
class Reading:
    """Options of the readers; each has a default that follows the data set's published format.

    Attributes:
        split_seed: of a validation draw where the data has no ``val``. It is apart from a training's seed, so that
            training again moves nobody.
        size: side to which images are resized; 0 keeps the first image's.
        order: of the two gaze angles in text labels.
        unit: of angles in a table that does not say.
        frame: normalized frame of the labels: ``R``, ``SR`` or ``none``. For MPIIFaceGaze's text, the one wanted.
        flip: angles stored with the opposite sign.
        colors: order of the colors in stored arrays.
        undetected: whether Gaze360's heads without a detected face are read as well.
        needs: keys of ETH-XGaze's layout that whoever trains must have.
    """

    split_seed: int = 0
    size: int = 0
    order: str = "auto"
    unit: str = "auto"
    frame: str = "auto"
    flip: str = ""
    colors: str = "auto"
    undetected: bool = False
    needs: tuple[str, ...] = ("face_gaze",)

    def check(self) -> None:
        """Raises InputError naming every option with an unknown value."""
        allowed = {"order": ORDERS, "unit": UNITS, "frame": FRAMES, "flip": FLIPS, "colors": COLORS}
        faults = [
            f"--{name}: expected one of {', '.join(repr(value) for value in values)}, found {getattr(self, name)!r}"
            for name, values in allowed.items()
            if getattr(self, name) not in values
        ]
        if self.size and (self.size < 16 or self.size > 2048):
            faults.append(f"--size: expected 0 or 16 to 2048, found {self.size}")
        if faults:
            raise InputError("; ".join(faults))

    def refuse(self, dataset: str, *names: str) -> None:
        """Refuses options that have no meaning for a data set.

        Raises:
            InputError: naming those that were given nevertheless.
        """
        given = [name for name in names if getattr(self, name) != getattr(DEFAULTS, name)]
        if given:
            raise InputError(f"{', '.join(f'--{name}' for name in given)}: {dataset} has nothing to choose there")


DEFAULTS = Reading()
