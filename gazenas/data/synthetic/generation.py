"""Writes rendered people as ETH-XGaze's preprocessed HDF5 files.

One process a person; a person's images depend on the seed and the person's number alone, so the bytes are the
same whatever the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.data import hdf5_layout as layout
from gazenas.data.synthetic.landmarks import project_landmarks
from gazenas.data.synthetic.near_eye import near_eye_landmarks, render_near_eye, sample_near_eye, sample_view
from gazenas.data.synthetic.renderers import RENDERERS
from gazenas.data.synthetic.scene import look_at_screen
from gazenas.data.synthetic.session import FEWEST, MOST, sample_sessions
from gazenas.errors import InputError
from gazenas.files import read_json, write_json

RENDERED = "rendered"  # key of dataset.json that says how a folder was rendered
FACE, NEAR_EYE, SCREEN = VIEWS = ("face", "near-eye", "screen")
MM = 10.0  # in a centimeter


def split_people(subjects: int) -> dict[str, list[str]]:
    """File names by split: a tenth of the people validate, a fifth are tested on, at least one each.

    Raises:
        InputError: with fewer than three people.
    """
    if subjects < 3:
        raise InputError(
            f"--subjects: expected at least 3 (train, val and test need one person each), found {subjects}"
        )
    names = [f"subject{number:04d}.h5" for number in range(subjects)]
    held_out, tested = max(1, subjects // 10), max(1, subjects // 5)
    kept = subjects - held_out - tested
    return {"train": names[:kept], "val": names[kept : kept + held_out], "test": names[kept + held_out :]}


def generate(
    folder: Path,
    *,
    subjects: int,
    per_subject: int,
    size: int,
    seed: int,
    workers: int,
    roll: float = 0.0,
    view: str = FACE,
    sessions: int = 0,
    renderer: int = 1,
    on_file: Callable[[str], None] = lambda name: None,
) -> dict[str, list[str]]:
    """Renders a data folder: ``dataset.json``, ``train/``, ``test/`` and ``train_test_split.json``, in this order.

    Args:
        folder: created where absent.
        size: side of the images in pixels.
        seed: of the people and of every image.
        workers: processes; the result does not depend on it.
        roll: degrees by which heads are turned about the direction of their faces at most; 0 for none, as in
            normalized images, and then without the key ``head_roll``.
        view: one of ``VIEWS``: faces; single eyes in infrared, gray, with ``eye_landmarks`` for labels; or faces that
            look at a screen, with ``screen_point`` as well.
        sessions: recordings of a person at most, from ``FEWEST`` on, each with a light, a place, a camera and a seat
            of its own, and then with the key ``session``; 0 for none, every image having its own.
        renderer: key of ``RENDERERS``; the second draws faces as photographs have them.
        on_file: called with each finished file's name.

    Returns:
        The split: file names under ``train``, ``val`` and ``test``; files of the first two lie in ``train/``.

    Raises:
        InputError: where a number is out of range.
    """
    _check(per_subject, size, seed, roll, view, sessions, renderer)
    split = split_people(subjects)
    folder.mkdir(parents=True, exist_ok=True)
    numbers: dict[str, float] = {"subjects": subjects, "per_subject": per_subject, "size": size, "seed": seed}
    numbers |= {name: value for name, value in (("roll", roll), ("sessions", sessions)) if value}
    rendered = {"renderer": renderer, **numbers, **({"view": view} if view != FACE else {})}
    write_json(folder / layout.METADATA_FILE, {RENDERED: rendered})
    tasks = []
    for part, names in split.items():
        target = layout.part_folder(folder, part)
        target.mkdir(exist_ok=True)
        tasks += [
            _PersonFile(target / name, int(name[7:11]), per_subject, size, seed, roll, view, sessions, renderer)
            for name in names
        ]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for name in pool.map(_write_person, tasks):
            on_file(name)
    write_json(folder / layout.SPLIT_FILE, split)
    return split


def _check(per_subject: int, size: int, seed: int, roll: float, view: str, sessions: int, renderer: int) -> None:
    """Raises InputError where a number is out of range, or does not go with the view."""
    if view not in VIEWS:
        raise InputError(f"--view: expected one of {', '.join(VIEWS)}, found {view!r}")
    if renderer not in RENDERERS or (renderer != 1 and view == NEAR_EYE):
        known = ", ".join(map(str, RENDERERS))
        raise InputError(f"--renderer: expected one of {known}, and 1 with --view {NEAR_EYE}, found {renderer}, {view}")
    if roll and view == NEAR_EYE:
        raise InputError(f"--roll: turns heads, expected it with --view {FACE}, found {view}")
    if not 0 <= roll <= 90:
        raise InputError(f"--roll: expected degrees from 0 to 90, found {roll}")
    if sessions and (view == NEAR_EYE or not FEWEST <= sessions <= MOST):
        raise InputError(
            f"--sessions: expected 0, or {FEWEST} to {MOST} with --view {FACE} or {SCREEN}, found {sessions}, {view}"
        )
    if per_subject < 1 or size < 16 or seed < 0:
        raise InputError(
            f"expected --per-subject >= 1, --size >= 16 and --seed >= 0, found {per_subject}, {size}, {seed}"
        )


def rendered_files(folder: Path) -> list[Path] | None:
    """The files of people that ``dataset.json`` says were rendered into a folder; None where it says nothing of the
    kind."""
    path = folder / layout.METADATA_FILE
    rendered = read_json(path).get(RENDERED) if path.is_file() else None
    subjects = rendered.get("subjects") if isinstance(rendered, dict) else None
    if not isinstance(subjects, int):
        return None
    return [layout.part_folder(folder, part) / name for part, names in split_people(subjects).items() for name in names]


@dataclass(frozen=True)
class _PersonFile:
    """One person's file to render: where, whose number, and how."""

    path: Path
    number: int
    count: int
    size: int
    seed: int
    roll: float
    view: str
    sessions: int
    renderer: int


def _write_person(file: _PersonFile) -> str:
    """Renders one person's images into one file; returns its name."""
    rng = np.random.default_rng([file.seed, file.number])
    images, columns = _eyes(rng, file) if file.view == NEAR_EYE else _faces(rng, file)
    names = [f"session{number}" for number in range(file.sessions)]
    layout.write_person(file.path, images, columns, session_names=names, compressed=True)
    return file.path.name


def _faces(rng: np.random.Generator, file: _PersonFile) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    """Faces of one person, ``(N, S, S, 3)``, and what is known of them."""
    count, size, draws = file.count, file.size, RENDERERS[file.renderer]
    person = draws.sample_person(rng)
    recordings = sample_sessions(rng, person, file.sessions, draws.sample_scene) if file.sessions else []
    looks = [each.dress(person) for each in recordings] or [person]
    looks += [draws.vary_look(person, rng) for _ in range(1, draws.looks if not recordings else 1)]
    heads = [draws.build_head(look) for look in looks]
    images = np.empty((count, size, size, 3), np.uint8)
    gaze, pose = np.empty((count, 2), np.float32), np.empty((count, 2), np.float32)
    points, rolls = np.empty((count, 68, 2), np.float32), np.empty((count, 1), np.float32)
    dots = np.empty((count, 2), np.float32)
    session = np.arange(count, dtype=np.int64) * len(heads) // count
    index = 0
    while index < count:
        head = heads[session[index]]
        scene = draws.sample_scene(rng, np.deg2rad(file.roll))
        if recordings:
            scene = recordings[session[index]].place(scene, rng)
        alike = int((session[index : index + draws.glances] == session[index]).sum())
        scenes = [scene, *(draws.vary_eyes(scene, rng) for _ in range(alike - 1))]
        if file.view == SCREEN:
            looks_at = [look_at_screen(each, rng) for each in scenes]
            scenes = [each for each, _ in looks_at]
            dots[index : index + alike] = [dot / MM for _, dot in looks_at]
        images[index : index + alike] = draws.render_all(head, scenes, size)
        for row, each in enumerate(scenes, index):
            gaze[row], pose[row], rolls[row] = each.gaze, each.head_pose, each.roll
            points[row] = project_landmarks(head, each, size)
        index += alike
    columns: dict[str, NDArray[Any]] = {
        layout.GAZE: gaze,
        layout.HEAD_POSE: pose,
        layout.FRAME_INDEX: np.arange(count, dtype=np.int64)[:, None],
        layout.CAMERA_INDEX: np.zeros((count, 1), np.int64),
        layout.ROTATION: np.broadcast_to(np.eye(3), (count, 3, 3)),
        layout.LANDMARKS: points,
    }
    columns |= {layout.ROLL: rolls} if file.roll else {}
    columns |= {layout.SESSION: session} if recordings else {}
    return images, columns | ({layout.SCREEN_POINT: dots} if file.view == SCREEN else {})


def _eyes(rng: np.random.Generator, file: _PersonFile) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    """Infrared eyes of one person, ``(N, S, S, 1)``, and where pupil and glints are; the camera's index is 0 and 1 for
    the ear's and the nose's of the right eye, 2 and 3 of the left."""
    person = sample_near_eye(rng)
    views = [sample_view(rng) for _ in range(file.count)]
    images = np.stack([render_near_eye(person, view, file.size) for view in views])[..., None]
    cameras = [2 * view.left + (not view.ear) for view in views]
    landmarks = np.stack([near_eye_landmarks(person, view, file.size) for view in views]).astype(np.float32)
    return images, {
        layout.EYE_LANDMARKS: landmarks,
        layout.FRAME_INDEX: np.arange(file.count, dtype=np.int64)[:, None],
        layout.CAMERA_INDEX: np.array(cameras, np.int64)[:, None],
    }
