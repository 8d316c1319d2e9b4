"""The folder that ``collect`` fills: a picture is whole or not there, and counts once its row is written."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import threading
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gazenas.data.arrays import Floats
from gazenas.data.normalization.cameras import assume_camera, check_camera, parse_camera
from gazenas.data.normalization.geometry import Camera
from gazenas.data.readers.collected import COLUMNS, DOTS, FILE, SCREEN, SESSION
from gazenas.errors import InputError
from gazenas.faces.face import Finder
from gazenas.faces.frame import Pixels
from gazenas.faces.live.plan import dot_place
from gazenas.faces.pose import pose_face
from gazenas.faces.records import rotation_vector
from gazenas.faces.screen import PlacedScreen, guess_screen, read_screen, write_screen
from gazenas.files import read_csv, read_json, safe_name, write_aside, write_csv, write_json
from gazenas.training.locking import hold

DARK = 10.0  # gray levels: the mean of a picture that shows nothing
KINDS = {"JPEG": ".jpg", "PNG": ".png"}
LONGEST_NAME, MOST_PIXELS = 60, 40_000_000
SCREENS = ((200, 20_000), (50.0, 10_000.0))  # least and most: pixels of a side, mm of the width
USUAL_OFFSET = (0.0, 10.0, 0.0)  # mm from the camera to the middle of the screen's top edge


def decode_picture(data: bytes) -> tuple[Pixels, str]:
    """``(H, W, 3)`` RGB of a JPEG or PNG file's bytes, and the ending of its name.

    Raises:
        InputError: where it is neither, is cut off, too large, or shows nothing.
    """
    try:
        with Image.open(io.BytesIO(data), formats=list(KINDS)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise InputError(f"expected a picture of at most {MOST_PIXELS} pixels, found {picture.size}")
            pixels, ending = np.asarray(picture.convert("RGB"), np.uint8), KINDS[str(picture.format)]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"expected a JPEG or PNG picture, found {len(data)} bytes: {error}") from error
    if pixels[::8, ::8].mean() < DARK:
        raise InputError("the picture is black: is the lid closed, or the camera covered or used by another program?")
    return pixels, ending


def plain_name(name: object, what: str) -> str:
    """A name that a person typed, as that of a folder.

    Raises:
        InputError: where it cannot be one.
    """
    text = " ".join(unicodedata.normalize("NFC", name).split()) if isinstance(name, str) else ""
    if not text or len(text) > LONGEST_NAME or safe_name(text) != text:
        raise InputError(
            f"{what}: expected 1 to {LONGEST_NAME} letters, digits, spaces or any of . + = @ - _, without a dot or a "
            f"dash in front, found {name!r}"
        )
    return text


def place_screen(given: PlacedScreen | None, pixels: Sequence[int], width: float) -> PlacedScreen:
    """The screen that was given, or one whose top edge has the camera above its middle.

    Args:
        given: None where it is not known.
        pixels: of the screen that the page fills, width and height.
        width: in mm, where it is not known.

    Raises:
        InputError: where the page fills another one, or the numbers are those of no screen.
    """
    (fewest, most), (least, longest) = SCREENS
    sides = tuple(int(side) for side in pixels if isinstance(side, int | float) and fewest <= side <= most)
    if len(sides) != 2 or len(pixels) != 2:
        raise InputError(f"screen: expected a width and height of {fewest} to {most} pixels, found {pixels}")
    if given:
        if given.pixels != sides:
            raise InputError(
                f"--screen: expected a page that fills its {given.pixels} pixels, found one of {sides}: is it on that "
                "screen, and not zoomed?"
            )
        return given
    if not (isinstance(width, int | float) and least <= width <= longest):
        raise InputError(f"screen: expected a width of {least:g} to {longest:g} mm, found {width!r}")
    return guess_screen((width, width * sides[1] / sides[0]), (sides[0], sides[1]), USUAL_OFFSET, 0.0)


@dataclass
class Measurement:
    """A person's session as it stands: rows by the columns of ``dots.csv``."""

    person: str
    session: str
    folder: Path
    screen: PlacedScreen
    known_from: str
    total: int
    dots: int
    rows: list[dict[str, Any]] = field(default_factory=list)

    def progress(self) -> dict[str, Any]:
        """What the page is told: the next dot's place in shares of the screen, None once all are taken."""
        taken = len(self.rows)
        place = dot_place(f"{self.person}/{self.session}", taken, self.dots) if taken < self.total else None
        return {
            "person": self.person,
            "session": self.session,
            "taken": taken,
            "total": self.total,
            "dot": None if place is None else place.tolist(),
        }


class Collection:
    """A folder of measurements, and the one that goes on.

    Args:
        folder: made where absent; only this process writes to it until :meth:`close`.
        finder: of faces.
        camera: that takes the pictures; assumed by their size without it.
        screen: where the screen stands; typed on the page without it.
        total: pictures of a measurement.
        dots: of a grid, 0 for none.

    Raises:
        InputError: where the folder holds something else, another process writes to it, or its pictures were measured
            with another face model.
    """

    def __init__(
        self,
        folder: Path,
        finder: Finder,
        *,
        camera: Camera | None = None,
        screen: PlacedScreen | None = None,
        total: int = 100,
        dots: int = 0,
    ) -> None:
        self.folder, self.finder, self.camera, self.screen = folder, finder, camera, screen
        self.total, self.dots = total, dots
        self.current: Measurement | None = None
        self._busy = threading.RLock()
        self._claim()

    def _claim(self) -> None:
        path, model = self.folder / FILE, self.finder.face_model
        if self.folder.exists() and not path.is_file() and (self.folder.is_file() or any(self.folder.iterdir())):
            raise InputError(f"{self.folder}: expected a new folder or one of collect, found another; choose another")
        self.folder.mkdir(parents=True, exist_ok=True)
        said = {"name": model.name, "fingerprint": model.fingerprint, "points": model.frame_points.tolist()}
        if not path.exists():
            write_json(path, {"format": 1, "id": secrets.token_hex(8), "face_model": said})
        found = read_json(path).get("face_model", {})
        if not isinstance(found, dict) or found.get("fingerprint") != model.fingerprint:
            raise InputError(f"{path}: expected the face model {model.name}, found {found}; choose another folder")
        self._lock = path.open("rb")
        if not hold(self._lock):
            self._lock.close()
            raise InputError(f"{self.folder}: another 'gazenas collect' writes to it; end that one first")
        for half in self.folder.rglob(".*.part"):  # of a process that was killed while it wrote or deleted
            shutil.rmtree(half) if half.is_dir() else half.unlink()

    def close(self) -> None:
        """Lets others write."""
        self._lock.close()

    def people(self) -> list[dict[str, Any]]:
        """What is stored: by person and session, how many pictures of how many."""
        with self._busy:
            return [
                {
                    "person": file.parent.parent.name,
                    "session": file.parent.name,
                    "taken": len(read_csv(file.parent / DOTS)),
                    "total": read_json(file).get("total", 0),
                }
                for file in sorted(self.folder.glob(f"*/*/{SESSION}"))
            ]

    def begin(self, person: object, session: object, pixels: Sequence[int], width: float) -> dict[str, Any]:
        """Begins a measurement, or goes on with it; nothing is written before its first picture.

        Args:
            person: name; one that differs in capitals alone is the same person.
            session: name; empty for the last one if that is not finished, else a new one.
            pixels: of the screen, width and height.
            width: of the screen in mm, where no screen is known.

        Raises:
            InputError: where a name cannot be one, the screen has another size, or the session is finished.
        """
        with self._busy:
            name = plain_name(person, "person")
            there = [each for each in self.people() if each["person"].casefold() == name.casefold()]
            name = there[0]["person"] if there else name
            self.current = None
            if session:
                chosen = plain_name(session, "session")
            else:
                unfinished = [each["session"] for each in there if each["taken"] < each["total"]]
                taken = {each["session"] for each in there}
                fresh = next(str(n) for n in range(1, len(taken) + 2) if str(n) not in taken)
                chosen = unfinished[-1] if unfinished else fresh
            folder = self.folder / name / chosen
            if not folder.resolve().is_relative_to(self.folder.resolve()):
                raise InputError(f"{folder}: expected a folder within {self.folder}, found a link that leads out of it")
            placed = place_screen(self.screen, pixels, width)
            known = "given" if self.screen else "typed on the page; the camera at the middle of the top edge"
            made = Measurement(name, chosen, folder, placed, known, self.total, self.dots)
            if (folder / SESSION).is_file():
                made = self._resumed(made)
            elif folder.exists() and any(folder.glob("*.*g")):
                raise InputError(f"{folder}: expected no such folder or one with {SESSION}, found pictures without it")
            if len(made.rows) >= made.total:
                raise InputError(f"{name}: session {chosen} has all of its {made.total} pictures: expected another one")
            self.current = made
            return made.progress()

    def _resumed(self, made: Measurement) -> Measurement:
        about = read_json(made.folder / SESSION)
        rows: list[dict[str, Any]] = [dict(row) for row in read_csv(made.folder / DOTS)]
        placed = read_screen(made.folder / SCREEN)
        if placed.pixels != made.screen.pixels:
            raise InputError(
                f"{made.folder}: was begun on a screen of {placed.pixels} pixels, found {made.screen.pixels}: expected "
                "the same screen and zoom, or another session"
            )
        return Measurement(
            made.person, made.session, made.folder, placed, "", int(about["total"]), int(about["dots"]), rows
        )

    def add(self, data: bytes, dot: Sequence[float]) -> dict[str, Any]:
        """Keeps a picture, once it is seen where in it the head is.

        Args:
            data: of a JPEG or PNG file.
            dot: that was looked at, in pixels of the screen.

        Raises:
            InputError: where no measurement was begun, or the picture cannot be used; says why.
        """
        pixels, ending = decode_picture(data)
        with self._busy:
            current = self._expect()
            if len(current.rows) >= current.total:
                raise InputError(f"expected at most {current.total} pictures, found one more; begin another session")
            place = np.array(dot, np.float64)
            if place.shape != (2,) or not ((place >= 0) & (place <= current.screen.pixels)).all():
                raise InputError(f"dot: expected a place on the screen of {current.screen.pixels} pixels, found {dot}")
            height, width = pixels.shape[:2]
            camera = self._camera(current, width, height)
            rotation, translation, landmarks = self._head(pixels, camera)
            if not (current.folder / SESSION).exists():
                self._describe(current, camera, (width, height))
            number = 1 + max((int(Path(row["source"]).stem) for row in current.rows), default=0)
            source = f"{number:04d}{ending}"
            with write_aside(current.folder / source) as aside:
                aside.write_bytes(data)
            values = [
                *place,
                *(place * current.screen.screen.pixel),
                time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                *rotation_vector(rotation),
                *translation,
                *landmarks.ravel(),
            ]
            current.rows.append(dict(zip(COLUMNS, [source, *map(_shown, values)], strict=True)))
            self._write(current)
            return current.progress()

    def undo(self) -> dict[str, Any]:
        """Deletes the last picture of the measurement that goes on.

        Raises:
            InputError: where there is none.
        """
        with self._busy:
            current = self._expect()
            if not current.rows:
                raise InputError("expected a picture to remove, found none in this session")
            last = current.rows.pop()
            self._write(current)
            (current.folder / Path(last["source"]).name).unlink(missing_ok=True)
            return current.progress()

    def delete(self, person: object, session: object) -> None:
        """Deletes a session, and the person's folder with the last of theirs.

        Raises:
            InputError: where there is no such session.
        """
        with self._busy:
            name, chosen = plain_name(person, "person"), plain_name(session, "session")
            folder = self.folder / name / chosen
            within = folder.resolve().is_relative_to(self.folder.resolve()) and not folder.is_symlink()
            if not within or not (folder / SESSION).is_file():
                raise InputError(f"{name}/{chosen}: expected a session of {self.folder}, found none")
            if self.current and self.current.folder == folder:
                self.current = None
            aside = self.folder / f".{name}-{chosen}.{os.getpid()}.part"  # all of it is gone at once, or nothing
            folder.rename(aside)
            shutil.rmtree(aside)
            if not any(folder.parent.iterdir()):
                folder.parent.rmdir()

    def _expect(self) -> Measurement:
        if self.current is None:
            raise InputError("expected a measurement that was begun, found none")
        return self.current

    def _head(self, pixels: Pixels, camera: Camera) -> tuple[Floats, Floats, Floats]:
        """Rotation, translation and six landmarks of the largest face."""
        faces = self.finder(pixels, ())
        if not faces:
            raise InputError("no face was found: is it in the picture, with light on it?")
        face = max(faces, key=lambda each: float(each.box[2] * each.box[3]))
        model = self.finder.face_model
        rotation, translation = pose_face(face, model, camera, pixels.shape[1], pixels.shape[0])
        return rotation, translation, face.landmarks[list(model.frame)]

    def _camera(self, current: Measurement, width: int, height: int) -> Camera:
        """The camera of the measurement, or, for its first picture, the one given or assumed."""
        path = current.folder / SESSION
        if not path.exists():
            camera = self.camera or assume_camera(width, height)
            check_camera(camera, width, height, "--camera")
            return camera
        about = read_json(path)
        if about.get("size") != [width, height]:
            raise InputError(f"expected pictures of {about.get('size')} pixels as before, found {[width, height]}")
        return parse_camera(about.get("camera"), f"{path}: camera")

    def _describe(self, current: Measurement, camera: Camera, size: tuple[int, int]) -> None:
        """Writes the screen, no rows yet, and last who it is and the camera, before the first picture."""
        current.folder.mkdir(parents=True, exist_ok=True)
        known = "--camera" if self.camera else "assumed: a focal length of the longer side"
        write_screen(current.folder / SCREEN, current.screen, {"known_from": current.known_from})
        self._write(current)
        write_json(
            current.folder / SESSION,
            {
                "person": current.person,
                "session": current.session,
                "total": current.total,
                "dots": current.dots,
                "size": list(size),
                "camera": {
                    "matrix": camera.matrix.tolist(),
                    "distortion": camera.distortion.tolist(),
                    "known_from": known,
                },
            },
        )

    def _write(self, current: Measurement) -> None:
        rows = ([row.get(title, "") for title in COLUMNS] for row in current.rows)
        write_csv(current.folder / DOTS, COLUMNS, rows)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else f"{float(value):.5f}"  # type: ignore[arg-type]
