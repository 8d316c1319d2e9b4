"""The default finder: BlazeFace finds faces, the mesh network places 468 points on them and follows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.faces.face import NEW, Face, Finder, box_around, overlap
from gazenas.faces.face_models import MESH
from gazenas.faces.model_files import FAR, IRIS_FILE, MESH_FILE, NEAR, find_files
from gazenas.faces.networks import Detector, Iris, Mesh, Pixels

ROOM = 1.5  # side of the square that the mesh network sees, in sides of the face
OUTSIDE, WITHOUT = 0.02, 1.16  # share of the mesh's points left out on each side; how much wider all of them are
EYES = (33, 263)  # outer corners, by which a face is upright
CORNERS = ((33, 133), (362, 263))  # of each eye, from the image's left
LEAST_PRESENCE, SAME_FACE = 0.5, 0.5  # of the mesh network's own score; overlap of two that are one face
FAST, KEPT = 0.1, 0.5  # widths that a face moves from frame to frame, overlap with its detection: worse is not trusted
SMALLEST = 8.0  # pixels across, of a face that is worth a look
Square = tuple[Floats, float, float]  # center, side and angle in an image
LOOK_AGAIN = 8  # frames after which the detector looks for newcomers


class MediapipeFinder:
    """Finds and follows faces.

    The detector runs where there was no face before, where the mesh network has lost one, and now and then for
    newcomers; else a face's square in the next frame comes from its mesh.

    Args:
        folder: where the networks' files lie; see :func:`gazenas.faces.model_files.find_files`.
        irises: whether to look for the irises, which takes two more networks' time a face.
        far: whether to look for small faces as well: four times the pixels, ten times the detector's time.
    """

    face_model = MESH

    def __init__(self, folder: Path | None = None, *, irises: bool = False, far: bool = True) -> None:
        wanted = [NEAR, *([FAR] if far else []), MESH_FILE, *([IRIS_FILE] if irises else [])]
        paths = find_files(wanted, folder)
        self._detectors = [Detector(paths[each.name]) for each in ((FAR, NEAR) if far else (NEAR,))]
        self._mesh = Mesh(paths[MESH_FILE.name])
        self._iris = Iris(paths[IRIS_FILE.name]) if irises else None
        self._frames = 0

    def __call__(self, image: Pixels, before: Sequence[Face]) -> list[Face]:
        """Faces of an image, as :class:`gazenas.faces.face.Finder` says."""
        faces: list[Face] = []
        fast: set[int] = set()
        for face in before:
            followed = self._settled(image, _around(face.landmarks), face.id, 0.12, 2)
            if followed is not None and _moved(face, followed) > FAST:
                fast.add(face.id)
            self._add(faces, followed)
        self._frames = self._frames + 1 if before else 0
        if not before or len(faces) < len(before) or fast or self._frames % LOOK_AGAIN == 0:
            for box, keys in self._detections(image):
                self._compare(image, faces, box, keys, fast)
        return faces

    def within(self, image: Pixels, box: Floats) -> Face | None:
        """As :class:`gazenas.faces.face.BoxFinder` says: by the detection about the box that shares the most with it,
        else by the mesh network from the box itself, upright."""
        middle, side = box[:2] + box[2:] / 2, float(box[2:].max())
        height, width = image.shape[:2]
        left, top = np.clip(middle - side, 0, [width, height]).astype(int)
        right, bottom = np.clip(np.ceil(middle + side), 0, [width, height]).astype(int)
        if right <= left or bottom <= top:
            return None
        seen = self._detections(image[top:bottom, left:right])
        corner = np.array([left, top])
        about = [(np.concatenate([found[:2] + corner, found[2:]]), keys + corner) for found, keys in seen]
        for found, keys in sorted(about, key=lambda each: -overlap(box, each[0])):
            face = self._found(image, found, keys)
            if face is not None and _holds(box, face):
                return face
        face = self._settled(image, (middle, ROOM * side, 0.0), NEW, 0.03, 5)
        return face if face is not None and _holds(box, face) else None

    def _compare(self, image: Pixels, faces: list[Face], box: Floats, keys: Floats, fast: set[int]) -> None:
        """Adds the face of a detection, or places one anew that was followed badly: its mesh goes along with its square
        where the face was faster."""
        shared = [overlap(box, face.box) for face in faces]
        index = int(np.argmax(shared)) if shared else -1
        if index < 0 or shared[index] < SAME_FACE / 2:
            self._add(faces, self._found(image, box, keys))
        elif shared[index] < KEPT or faces[index].id in fast:
            anew = self._found(image, box, keys)
            if anew is not None:
                faces[index] = replace(anew, id=faces[index].id)

    def _detections(self, image: Pixels) -> list[tuple[Floats, Floats]]:
        """Boxes and key points by the first detector that sees any: the second sees faces that fill the image."""
        for detector in self._detectors:
            seen = [(box, keys) for box, _, keys in detector(image) if box[2:].min() >= SMALLEST]
            if seen:
                return seen
        return []

    def _found(self, image: Pixels, box: Floats, keys: Floats) -> Face | None:
        """The face of a detection, whose square is a guess."""
        across = keys[1] - keys[0]
        angle = float(np.arctan2(across[1], across[0]))
        square = box[:2] + box[2:] / 2, ROOM * float(box[2:].max()), angle
        return self._settled(image, square, NEW, 0.03, 5)

    def _settled(self, image: Pixels, square: Square, number: int, stays: float, most: int) -> Face | None:
        """The face that is seen once its square stays where it is.

        Args:
            image: RGB.
            square: to begin with.
            number: the face's id.
            stays: sides of the square that it may still move or grow by.
            most: looks.
        """
        face = None
        for look in range(most):
            face = self._look(image, *square, number)
            if face is None:
                break
            (center, side, _), (next_center, next_side, angle) = square, _around(face.landmarks)
            if max(float(np.abs(next_center - center).max()), abs(next_side - side)) < stays * side:
                break
            if look:  # halfway, where it might go to and fro
                next_center, next_side = (center + next_center) / 2, (side + next_side) / 2
            square = next_center, next_side, angle
        return None if face is None else self._with_irises(image, face)

    def _look(self, image: Pixels, center: Floats, side: float, angle: float, number: int) -> Face | None:
        """The face inside a square, if the mesh network says that it is one."""
        height, width = image.shape[:2]
        inside = -side / 2 < center[0] < width + side / 2 and -side / 2 < center[1] < height + side / 2
        if not (inside and SMALLEST <= side <= 4 * max(height, width)):
            return None
        landmarks, score = self._mesh(image, center, side, angle)
        if score < LEAST_PRESENCE:
            return None
        return Face(box_around(landmarks), score, landmarks, None, number)

    def _with_irises(self, image: Pixels, face: Face) -> Face:
        """The face with its irises, where they are wanted."""
        if self._iris is None:
            return face
        ends = [(face.landmarks[left], face.landmarks[right]) for left, right in CORNERS]
        irises = [self._iris(image, *corners, mirrored=eye == 1) for eye, corners in enumerate(ends)]
        return replace(face, irises=np.stack(irises))

    def _add(self, faces: list[Face], face: Face | None) -> None:
        """Keeps a face, unless it is one that is there already."""
        if face is not None and all(overlap(face.box, other.box) < SAME_FACE for other in faces):
            faces.append(face)


def _holds(box: Floats, face: Face) -> bool:
    """Whether a face's middle is within a box."""
    middle = face.box[:2] + face.box[2:] / 2 - box[:2]
    return bool((middle >= 0).all() and (middle <= box[2:]).all())


def _moved(face: Face, followed: Face) -> float:
    """How far a face's middle moved, in its widths."""
    off = face.box[:2] + face.box[2:] / 2 - followed.box[:2] - followed.box[2:] / 2
    return float(np.hypot(*off)) / max(float(face.box[2]), 1e-9)


def _around(landmarks: Floats) -> Square:
    """Center, side and angle of the square around a mesh.

    The points farthest out count little: hats and hair hide them, and the square would jump with them from look to
    look.
    """
    across = landmarks[EYES[1]] - landmarks[EYES[0]]
    angle = float(np.arctan2(across[1], across[0]))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    low, high = np.quantile(landmarks @ turn.T, (OUTSIDE, 1 - OUTSIDE), axis=0)
    return turn.T @ ((low + high) / 2), ROOM * WITHOUT * float((high - low).max()), angle


def far_finder(folder: Path | None = None, *, irises: bool = False) -> Finder:
    """Finds small faces as well: 12 pixels of 256 are enough, wherever the image is cut."""
    return _made(folder, irises, far=True)


def near_finder(folder: Path | None = None, *, irises: bool = False) -> Finder:
    """For webcams: finds faces that fill an eighth of the image's longer side or more, in a tenth of the time."""
    return _made(folder, irises, far=False)


def _made(folder: Path | None, irises: bool, *, far: bool) -> Finder:
    """The finder; without LiteRT nothing is fetched for it."""
    import_module("ai_edge_litert")
    return MediapipeFinder(folder, irises=irises, far=far)
