"""Gaze from photos and films: find faces, turn each into a normalized patch, ask the network, turn its answer back."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.normalization.cameras import assume_camera, check_camera
from gazenas.data.normalization.geometry import Camera, Target, View, view_face
from gazenas.data.normalization.patch import warp_image
from gazenas.data.pictures import read_photo
from gazenas.errors import InputError
from gazenas.faces import FINDERS
from gazenas.faces.averaging import AVERAGES, AveragedEstimator
from gazenas.faces.confidence import ask_with_confidence
from gazenas.faces.estimators import Estimator, load_estimator
from gazenas.faces.face import BoxFinder, Face, Finder
from gazenas.faces.face_models import FaceModel, with_frame
from gazenas.faces.frame import Frame, Pixels
from gazenas.faces.iris import iris_gaze
from gazenas.faces.pose import pose_face
from gazenas.faces.smoothing import SMOOTHINGS, OneEuro
from gazenas.faces.tracking import Tracker
from gazenas.gaze import vectors_to_angles

NETWORK_FOCAL, NETWORK_SIDE, NETWORK_DISTANCE = 960.0, 224, 600.0  # ETH-XGaze's virtual camera, at any size of patch


@dataclass(frozen=True)
class Gaze:
    """Where somebody looks.

    Attributes:
        angles: ``(2,)`` pitch and yaw in radians in the normalized frame.
        direction: ``(3,)`` unit gaze in the camera's frame.
        head_rotation: ``(3, 3)`` head frame to camera frame.
        view: the normalized frame; ``center`` is the face's in mm in the camera's frame, ``head`` pitch and yaw.
        iris: ``(2,)`` pitch and yaw in the normalized frame by iris geometry; None where irises were not looked for.
        confidence: above 0 and at most 1, see :mod:`gazenas.faces.confidence`; None where it was not asked for.
    """

    angles: Floats
    direction: Floats
    head_rotation: Floats
    view: View
    iris: Floats | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class FaceGaze:
    """A face that was found, with its gaze, or with the reason why there is none."""

    face: Face
    gaze: Gaze | None
    reason: str = ""


@dataclass(frozen=True)
class _Placed:
    """A face whose pose is known: what the network is asked with, and what its answer is turned back with."""

    face: Face
    view: View
    rotation: Floats
    patch: Pixels
    iris: Floats | None


class GazePredictor:
    """Where the people in an image look.

    Args:
        model: a run folder, a shipped name, an ONNX file, or an :class:`Estimator`.
        finder: a name of ``FINDERS``, ``module:name`` of what makes one without arguments, or a finder.
        finder_files: folder with the default finder's networks; see :mod:`gazenas.faces.model_files`.
        camera: that took the images; assumed for each without it, see
            :func:`gazenas.data.normalization.cameras.assume_camera`.
        face_model: a name of ``FACE_MODELS`` or a file; the finder's own without it.
        user: a person's file by ``gazenas calibrate --save``.
        device: of PyTorch.
        smooth: a name of ``SMOOTHINGS``, for :meth:`stream`.
        max_faces: in a frame, the largest; 0 for all.
        irises: whether to ask iris geometry as well.
        average: what to ask the network about besides the patch, a key of ``AVERAGES``, or ``none``.
        confidence: whether to ask it about the moved patch as well, to say how sure it is.

    Raises:
        InputError: where one of these is not to be had.
    """

    def __init__(
        self,
        model: str | Path | Estimator,
        *,
        finder: str | Finder = "mediapipe",
        finder_files: str | Path | None = None,
        camera: Camera | None = None,
        face_model: str = "",
        user: str | Path | None = None,
        device: str = "cpu",
        smooth: str = "none",
        max_faces: int = 0,
        irises: bool = False,
        average: str = "none",
        confidence: bool = True,
    ) -> None:
        if smooth not in SMOOTHINGS:
            raise InputError(f"--smooth: expected one of {', '.join(SMOOTHINGS)}, found {smooth!r}")
        if average not in ("none", *AVERAGES):
            raise InputError(f"--average: expected none, {', '.join(AVERAGES)}, found {average!r}")
        given = isinstance(model, str | Path)
        self.estimator = load_estimator(model, user=user, device=device) if isinstance(model, str | Path) else model
        if not given and user is not None:
            raise InputError("user: expected with the name or the path of a model, found it with a network")
        if average != "none":
            self.estimator = AveragedEstimator(self.estimator, AVERAGES[average])
        self.finder = make_finder(finder, Path(finder_files) if finder_files else None, irises)
        own = self.finder.face_model
        self.face_model: FaceModel = with_frame(own, face_model) if face_model else own
        self.camera, self.max_faces, self._sure = camera, max_faces, confidence
        self._smoothing = SMOOTHINGS[smooth]
        size = self.estimator.input_size
        self.target = Target(size, NETWORK_FOCAL * size / NETWORK_SIDE, NETWORK_DISTANCE)

    def image(self, photo: Pixels | str | Path) -> list[FaceGaze]:
        """Gaze of every face of one photo, without memory of others; the largest face first.

        Args:
            photo: ``(H, W, 3)`` uint8 RGB, or a file.

        Raises:
            InputError: where the file cannot be read or the array is another.
        """
        if isinstance(photo, str | Path):
            pixels, film_focal = read_photo(Path(photo))
            frame = Frame(pixels, source=str(photo), film_focal=film_focal)
        else:
            frame = Frame(photo)
        return self._gaze(frame, Tracker()(self._faces(frame, ())))

    def stream(self, frames: Iterable[Frame | Pixels], *, fps: float = 30.0) -> Iterator[list[FaceGaze]]:
        """Gaze of the faces of each frame in turn, followed and numbered from frame to frame.

        Args:
            frames: of a film, or arrays, which are taken to follow one another at ``fps``.
            fps: of arrays.

        Yields:
            For each frame its faces; none for one that cannot be read.
        """
        tracker, filters = Tracker(), dict[int, OneEuro]()
        before: tuple[int, ...] = ()
        for number, given in enumerate(frames):
            frame = given if isinstance(given, Frame) else Frame(given, number, number / fps)
            if frame.image is None:
                yield []
                continue
            if frame.image.shape != before:
                tracker.faces, before = [], frame.image.shape
            faces = tracker(self._faces(frame, tracker.faces))
            answers = self._gaze(frame, faces, filters)
            filters = {face.id: filters[face.id] for face in faces if face.id in filters}
            yield answers

    def camera_of(self, frame: Frame) -> Camera:
        """The camera that took a frame: the one given, or what its file or its size suggests."""
        assert frame.image is not None, "only of frames that can be read"
        height, width = frame.image.shape[:2]
        if self.camera is None:
            return assume_camera(width, height, frame.film_focal)
        check_camera(self.camera, width, height, "--camera")
        return self.camera

    def _faces(self, frame: Frame, before: Sequence[Face]) -> list[Face]:
        image = frame.image
        if image is None or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            found = "nothing" if image is None else f"{image.dtype} {image.shape}"
            raise InputError(f"expected a uint8 RGB image (H, W, 3), found {found}")
        faces = (
            self.finder(image, before) if frame.faces is None else [self._known(image, face) for face in frame.faces]
        )
        faces.sort(key=lambda face: -float(face.box[2] * face.box[3]))
        return faces[: self.max_faces] if self.max_faces else faces

    def _known(self, image: Pixels, face: Face) -> Face:
        """A face that is known beforehand; one of which the box alone is known is looked for in it."""
        if len(face.landmarks) or not isinstance(self.finder, BoxFinder):
            return face
        found = self.finder.within(image, face.box)
        return face if found is None else replace(found, id=face.id)

    def _gaze(self, frame: Frame, faces: Sequence[Face], filters: dict[int, OneEuro] | None = None) -> list[FaceGaze]:
        camera = self.camera_of(frame)
        answers: dict[int, FaceGaze] = {}
        placed: dict[int, _Placed] = {}
        for index, face in enumerate(faces):
            try:
                placed[index] = self._place(frame, camera, face)
            except InputError as error:
                answers[index] = FaceGaze(face, None, str(error))
        if placed:
            for (index, each), (pair, sure) in zip(placed.items(), self._ask(list(placed.values())), strict=True):
                answers[index] = self._answer(each, pair, sure, frame.time, filters)
        return [answers[index] for index in range(len(faces))]

    def _ask(self, placed: Sequence[_Placed]) -> list[tuple[Floats, float | None]]:
        """Pitch and yaw a patch, and how sure the network is."""
        patches = np.stack([each.patch for each in placed])
        if not self._sure:
            return [(pair, None) for pair in self.estimator(patches).astype(np.float64)]
        angles, confidence = ask_with_confidence(self.estimator, patches)
        return [(pair, float(sure)) for pair, sure in zip(angles, confidence, strict=True)]

    def _place(self, frame: Frame, camera: Camera, face: Face) -> _Placed:
        """Where the head is, and its patch.

        Raises:
            InputError: where its landmarks are those of no face that the camera can see.
        """
        model, image = self.face_model, frame.image
        assert image is not None, "checked before"
        if not len(face.landmarks):
            raise InputError("expected a face whose middle is within its box, found none")
        rotation, translation = pose_face(face, model, camera, image.shape[1], image.shape[0])
        center = model.center(rotation, translation)
        view = view_face(camera, rotation, center, self.target)
        second = iris_gaze(face, model, camera, rotation, translation)
        iris = None if second is None else view.gaze(second)
        return _Placed(face, view, rotation, warp_image(image, camera, view, self.target), iris)

    def _answer(
        self, placed: _Placed, angles: Floats, sure: float | None, time: float, filters: dict[int, OneEuro] | None
    ) -> FaceGaze:
        face, view = placed.face, placed.view
        if not np.isfinite(angles).all():
            return FaceGaze(face, None, f"expected angles from the network, found {angles.tolist()}")
        direction = view.to_camera(angles)
        if self._smoothing is not None and filters is not None:
            direction = filters.setdefault(face.id, self._smoothing())(direction, time)
            angles = vectors_to_angles(view.rotation @ direction)
        return FaceGaze(face, Gaze(angles, direction, placed.rotation, view, placed.iris, sure))


def make_finder(finder: str | Finder, folder: Path | None, irises: bool) -> Finder:
    """The finder by that name, or ``module:name`` of a person's own.

    Raises:
        InputError: where there is no such thing.
    """
    if not isinstance(finder, str):
        return finder
    if finder in FINDERS:
        return FINDERS[finder](folder, irises=irises)
    module, colon, name = finder.partition(":")
    if not colon:
        raise InputError(f"--finder: expected one of {', '.join(FINDERS)} or module:name, found {finder!r}")
    sys.path.insert(0, "")  # a person's module lies where they are
    try:
        maker = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"--finder: {finder}: {error}") from error
    finally:
        sys.path.remove("")
    made: Finder = maker()
    if not callable(made) or not isinstance(getattr(made, "face_model", None), FaceModel):
        raise InputError(f"--finder: {finder}: expected a finder with a face_model, found {type(made).__name__}")
    return made
