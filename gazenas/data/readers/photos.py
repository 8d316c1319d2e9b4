"""Photos taken with known cameras, as ``photos.json`` describes them; normalized while they are read, frame ``R``.

``cameras`` maps names to ``{"matrix": 3 x 3, "distortion": [k1, k2, p1, p2, k3]}``; ``images`` lists ``image``,
``person``, ``camera``, then ``head_rotation`` (a rotation vector or matrix) and ``head_translation`` in mm, or six
``landmarks`` (four eye corners from the image's left, two nose points) from which they are solved; then ``gaze_target``
in mm or ``gaze`` as a vector, both in the camera's frame; ``session`` at will. ``face_model`` at the top holds the same
six points in the head frame, mm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gazenas.data.arrays import Floats
from gazenas.data.dataset import GazeFolder, GazeSplit, RowFault
from gazenas.data.hdf5_layout import ROTATION
from gazenas.data.normalization.cameras import finite_array, parse_camera
from gazenas.data.normalization.geometry import Camera, Target, View, face_center, view_face
from gazenas.data.normalization.patch import warp_image
from gazenas.data.normalization.pose import solve_pose
from gazenas.data.pictures import read_picture
from gazenas.data.readers.reading import DEFAULTS, Reading
from gazenas.errors import InputError
from gazenas.files import read_json

FILE = "photos.json"


@dataclass(frozen=True)
class Photo:
    """One row: an image file and how its face is seen."""

    image: str
    person: str
    session: str
    camera: Camera
    view: View
    gaze: Floats | None
    landmarks: Floats | None


class Patches:
    """Normalized patches by row, warped when they are asked for."""

    def __init__(self, root: Path, photos: list[Photo], target: Target) -> None:
        self.root, self.photos, self.target = root, photos, target

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(n, S, S, 3)`` RGB.

        Raises:
            InputError: naming the photo that cannot be read.
        """
        images = np.empty((len(rows), self.target.size, self.target.size, 3), np.uint8)
        for index, row in enumerate(rows):
            photo = self.photos[int(row)]
            images[index] = warp_image(read_picture(self.root / photo.image), photo.camera, photo.view, self.target)
        return images

    def name(self, row: int) -> str:
        """The photo's file."""
        return self.photos[row].image


def open_photos(folder: Path, reading: Reading = DEFAULTS, target: Target | None = None) -> GazeFolder:
    """One part, ``all``.

    Args:
        folder: holds ``photos.json``; paths are relative to it.
        reading: its size is that of the patches, 0 for 224.
        target: the virtual camera; by default ETH-XGaze's at that size.

    Raises:
        InputError: where the description is damaged or no photo of it can be used.
    """
    path = folder / FILE
    values = _read(path)
    listed = [(f"{FILE}: images[{number}]", entry) for number, entry in enumerate(values["images"])]
    return folder_of_photos(path, values, listed, reading, target)


def folder_of_photos(
    path: Path,
    values: Mapping[str, Any],
    listed: Sequence[tuple[str, Any]],
    reading: Reading,
    target: Target | None,
    dataset: str = "photos",
) -> GazeFolder:
    """What photos and their description amount to.

    Args:
        path: of the file that describes them; paths of images are relative to its folder.
        values: ``cameras`` and ``face_model`` as in ``photos.json``.
        listed: where each entry of ``images`` stands, and the entry.
        reading: its size is that of the patches, 0 for 224.
        target: the virtual camera; by default ETH-XGaze's at that size.
        dataset: a key of ``DATASETS``.

    Raises:
        InputError: where a camera is none, or no photo can be used.
    """
    reading.refuse(path.name, "order", "unit", "frame", "flip", "colors", "undetected")
    size = reading.size or 224
    target = target or Target(size, 960.0 * size / 224, 600.0)
    cameras = {name: parse_camera(entry, f"{path}: camera {name!r}") for name, entry in values["cameras"].items()}
    try:
        model = None if "face_model" not in values else finite_array(values["face_model"], (6, 3), "face_model")
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    photos, faults = [], []
    for where, entry in listed:
        try:
            photos.append(_photo(entry, cameras, model, target))
        except (ValueError, InputError) as error:
            faults.append(RowFault(where, str(error)))
    if not photos:
        raise InputError(f"{path}: none of {len(listed)} images can be used; the first: {faults[0].reason}")
    notes = [
        f"{dataset}: virtual camera of {target.focal:g} pixels at {target.distance:g} mm, {target.size} pixels wide; "
        "frame R"
    ]
    if faults:
        notes.append(f"{len(faults)} rows left out, the first: {faults[0].where}: {faults[0].reason}")
    choices = {"focal": f"{target.focal:g}", "distance": f"{target.distance:g}"}
    splits = {"all": _split(path.parent, photos, target)}
    return GazeFolder(path.parent, target.size, "R", splits, notes, dataset, "person", choices, faults)


def _split(folder: Path, photos: list[Photo], target: Target) -> GazeSplit:
    people, person = np.unique([photo.person for photo in photos], return_inverse=True)
    sessions, session = np.unique([photo.session for photo in photos], return_inverse=True)
    known = any(photo.session for photo in photos)
    gaze = [photo.gaze for photo in photos]
    columns = {
        ROTATION: np.array([photo.view.rotation for photo in photos]),
        "face_center": np.array([photo.view.center for photo in photos]),
    }
    if all(photo.landmarks is not None for photo in photos):
        columns["landmarks"] = np.array([photo.landmarks for photo in photos])
    return GazeSplit(
        name="all",
        people=people.tolist(),
        person=person.astype(np.int64),
        gaze=np.array(gaze, np.float32) if all(value is not None for value in gaze) else None,
        head_pose=np.array([photo.view.head for photo in photos], np.float32),
        size=target.size,
        images=Patches(folder, photos, target),
        sessions=sessions.tolist() if known else [],
        session=session.astype(np.int64) if known else None,
        columns=columns,
    )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; it describes cameras and images")
    values = read_json(path)
    if not isinstance(values.get("cameras"), dict) or not isinstance(values.get("images"), list):
        raise InputError(f"{path}: expected an object with cameras (by name) and images (a list)")
    if not values["images"]:
        raise InputError(f"{path}: images: expected at least one, found none")
    return values


def _photo(entry: Any, cameras: dict[str, Camera], model: Floats | None, target: Target) -> Photo:
    """One row; a ValueError or InputError says why it cannot be used."""
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "person", "camera")):
        raise ValueError(f"expected image, person and camera, found {str(entry)[:80]!r}")
    if Path(entry["image"]).is_absolute() or ".." in Path(entry["image"]).parts:
        raise ValueError(f"expected an image path within the folder, found {entry['image']!r}")
    if entry["camera"] not in cameras:
        raise ValueError(f"camera: expected one of {', '.join(cameras) or 'none'}, found {entry['camera']!r}")
    camera = cameras[entry["camera"]]
    seen = finite_array(entry["landmarks"], (6, 2), "landmarks") if "landmarks" in entry else None
    if model is None:
        raise ValueError(
            "face_model: expected six points in mm at the top of the file, by which the face center is known"
        )
    if "head_rotation" in entry and "head_translation" in entry:
        given = np.array(entry["head_rotation"], np.float64)
        rotation = (
            given
            if given.shape == (3, 3)
            else Rotation.from_rotvec(finite_array(given, (3,), "head_rotation")).as_matrix()
        )
        translation = finite_array(entry["head_translation"], (3,), "head_translation")
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
            raise ValueError("head_rotation: expected a rotation, found a matrix that is none")
    elif seen is not None:
        rotation, translation = solve_pose(camera, seen, model)
    else:
        raise ValueError("expected head_rotation and head_translation, or landmarks, found neither")
    view = view_face(camera, rotation, face_center(model, rotation, translation), target)
    gaze = None
    if "gaze_target" in entry:
        gaze = view.gaze_at(finite_array(entry["gaze_target"], (3,), "gaze_target"))
    elif "gaze" in entry:
        gaze = view.gaze(finite_array(entry["gaze"], (3,), "gaze"))
    within = None if seen is None else view.landmarks(camera, seen)
    return Photo(entry["image"], entry["person"], str(entry.get("session", "")), camera, view, gaze, within)
