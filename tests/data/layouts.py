"""Writes rendered faces in the layouts of the data sets, straight from the published descriptions."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from gazenas.data.normalization.geometry import Screen
from gazenas.data.readers import open_data
from gazenas.data.readers.collected import COLUMNS
from gazenas.data.synthetic.scene import head_rotation

Array = np.ndarray[Any, Any]


@dataclass
class Faces:
    """Images (N, S, S, 3) RGB, gaze and head (N, 2) pitch and yaw in radians, person (N,) numbers from 0."""

    images: Array
    gaze: Array
    head: Array
    person: Array


def faces_of(folder: Path, every: int = 1) -> Faces:
    """All faces of a rendered folder, or one of so many."""
    parts = open_data(folder).splits.values()
    images = np.concatenate([part.images(np.arange(len(part))) for part in parts])
    gaze = np.concatenate([part.gaze for part in parts if part.gaze is not None]).astype(np.float64)
    head = np.concatenate([part.head_pose for part in parts if part.head_pose is not None]).astype(np.float64)
    names = [part.people[number] for part in parts for number in part.person]
    person = np.unique(names, return_inverse=True)[1]
    return Faces(images[::every], gaze[::every], head[::every], person[::every])


def vector(angles: Array) -> Array:
    """The convention written out once more, apart from the package's."""
    pitch, yaw = angles
    return np.array([-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)])


def angles(direction: Array) -> Array:
    x, y, z = direction / np.linalg.norm(direction)
    return np.array([np.arcsin(-y), np.arctan2(-x, -z)])


def text(values: Array) -> str:
    return ",".join(f"{value:.9f}" for value in values)


def save(root: Path, name: str, image: Array) -> str:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(root / name, quality=95)
    return name


def write_labels(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")


SCALE = 1.2


def mpiifacegaze(folder: Path, faces: Faces) -> None:
    """Labels are stored scaled: (x, y, s z). A row in two stands for a mirrored one."""
    rows: dict[str, list[str]] = {}
    for i, (image, gaze, head, person) in enumerate(
        zip(faces.images, faces.gaze, faces.head, faces.person, strict=True)
    ):
        who = f"p{person:02d}"
        face = save(folder / "Image", f"{who}/face/{i}.jpg", image)
        stored = vector(gaze) * np.array([1, 1, SCALE])
        stored /= np.linalg.norm(stored)
        words = [face, "l.jpg", "r.jpg", f"day01/{i:04d}.jpg", "left" if i % 2 else "right", text(stored), "0,0,0"]
        words += [text(angles(stored)[::-1]), text(head[::-1]), "0,0,0", f"1.0,1.0,{SCALE}"]
        rows.setdefault(who, []).append(" ".join(words))
    for who, lines in rows.items():
        header = "Face Left Right Origin WhichEye 3DGaze 3DHead 2DGaze 2DHead Rmat Smat"
        write_labels(folder / "Label" / f"{who}.label", header, lines)


def eyediap(folder: Path, faces: Faces, *, by_person: bool = False) -> None:
    """Four cluster files, or one file a person with more columns."""
    rows: dict[str, list[str]] = {}
    for i, (image, gaze, head, person) in enumerate(
        zip(faces.images, faces.gaze, faces.head, faces.person, strict=True)
    ):
        face = save(folder / "Image", f"p{person}/face/{i}.jpg", image)
        session = f"{person + 1}_A_{'CS' if i % 2 else 'DS'}_M_16"
        words = [face, "l.jpg", "r.jpg", session, text(vector(gaze)), "0,0,0", text(gaze[::-1]), text(head[::-1])]
        words += ["0,0,0", "1,1,1", "0,0,600"] if by_person else []
        name = f"Label/p{person + 1}" if by_person else f"ClusterLabel/Cluster{person % 4}"
        rows.setdefault(name, []).append(" ".join(words))
    for name, lines in rows.items():
        header = "Face Left Right metapath 3DGaze 3DHead 2DGaze 2DHead" + " Rvec Svec GazeOrigin" * by_person
        write_labels(folder / f"{name}.label", header, lines)


def gaze360(
    folder: Path, faces: Faces, *, images: str = "Image/", named_from: str = "Image/", labels: str = "Label/"
) -> None:
    """Images under ``images``, with PART for the split; label files name them from ``named_from`` on and lie in
    ``labels``."""
    rows: dict[str, list[str]] = {}
    last = faces.person.max()
    for i, (image, gaze, person) in enumerate(zip(faces.images, faces.gaze, faces.person, strict=True)):
        part = {last: "test", last - 1: "val"}.get(person, "train")
        face = save(folder, f"{images}{part}/Face/{i}.jpg", image).removeprefix(named_from.replace("PART", part))
        own = vector(gaze) * np.array([-1, -1, 1])
        stored = [np.arctan2(own[0], -own[2]), np.arcsin(own[1])]
        name = f"rec_{person:03d}/head/000000/{i:06d}.jpg"
        rows.setdefault(part, []).append(" ".join([face, "l.jpg", "r.jpg", name, text(own), text(np.array(stored))]))
    for part, lines in rows.items():
        write_labels(folder / f"{labels}{part}.label", "Face Left Right Origin 3DGaze 2DGaze", lines)


def rtgene(folder: Path, faces: Faces) -> None:
    """Rendered people take turns as one of each test fold and one of those who validate."""
    people = ["s001", "s003", "s005", "s014", "s002"]
    files = {"s001": "train1", "s002": "train1", "s003": "train2", "s005": "train3", "s014": "valid"}
    rows: dict[str, list[str]] = {}
    for i, (image, gaze, head, person) in enumerate(
        zip(faces.images, faces.gaze, faces.head, faces.person, strict=True)
    ):
        who = people[person]
        face = save(folder / "Image", f"{who}_glasses/{i}.jpg", image)
        words = [face, "l.jpg", "r.jpg", who, text(vector(gaze)), "0,0,0", text(gaze[::-1]), text(head[::-1])]
        rows.setdefault(files[who], []).append(" ".join(words))
    for part, lines in rows.items():
        header = "Face Left Right Origin 3DGaze 3DHead 2DGaze 2DHead"
        write_labels(folder / "Label" / f"{part}.label", header, lines)


def ethxgaze_text(folder: Path, faces: Faces, *, named_from: str = "Image/") -> None:
    """Label files name images from ``named_from`` on, with PART for the split."""
    rows: dict[str, list[str]] = {"train": [], "test": []}
    for i, (image, gaze, head, person) in enumerate(
        zip(faces.images, faces.gaze, faces.head, faces.person, strict=True)
    ):
        part = "test" if person == faces.person.max() else "train"
        face = save(folder, f"Image/{part}/subject{person:04d}/{i:06d}.jpg", image)
        face = face.removeprefix(named_from.replace("PART", part))
        known = [text(gaze)] if part == "train" else []
        rows[part].append(
            " ".join([face, *known, text(head), f"subject{person:04d}.h5", "3", str(i), "1,0,0,0,1,0,0,0,1"])
        )
    for part, lines in rows.items():
        header = f"face {'gaze ' if part == 'train' else ''}head origin cam_index frame_index normmat"
        write_labels(folder / "Label" / f"{part}.label", header, lines)


def gaze360_mat(folder: Path, faces: Faces, **change: Array) -> None:
    count, last = len(faces.gaze), faces.person.max()
    split = np.where(faces.person == last, 2, np.where(faces.person == last - 1, 1, 0))
    for i, person in enumerate(faces.person):
        save(folder / "imgs", f"rec_{person:03d}/head/000002/{i:06d}.jpg", faces.images[i])
    values: dict[str, Any] = {
        "recordings": np.array([f"rec_{n:03d}" for n in range(last + 1)], object),
        "recording": faces.person,
        "frame": np.arange(count),
        "person_identity": np.full(count, 2),
        "gaze_dir": np.array([vector(gaze) for gaze in faces.gaze]) * np.array([-1, -1, 1]),
        "split": split,
        "person_face_bbox": np.full((count, 4), 0.5),
        "person_head_bbox": np.full((count, 4), 0.5),
    }
    savemat(folder / "metadata.mat", values | change)


def mpiifacegaze_mat(folder: Path, faces: Faces) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for person in np.unique(faces.person):
        rows = faces.person == person
        with h5py.File(folder / f"p{person:02d}.mat", "w") as file:
            file["Data/data"] = faces.images[rows][..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
            file["Data/label"] = np.concatenate([faces.gaze[rows], faces.head[rows], np.zeros((rows.sum(), 12))], 1)


def table(folder: Path, faces: Faces) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "person", "session", "pitch_deg", "yaw_deg", "head_pitch_deg", "head_yaw_deg"])
        for i, (image, gaze, head, person) in enumerate(
            zip(faces.images, faces.gaze, faces.head, faces.person, strict=True)
        ):
            name = save(folder, f"images/{i}.png", image)
            writer.writerow([name, f"anna{person}", f"day{i % 2}", *np.rad2deg([*gaze, *head])])


def ethxgaze(folder: Path, faces: Faces) -> None:
    split: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    last = faces.person.max()
    for person in np.unique(faces.person):
        part = {last: "test", last - 1: "val"}.get(person, "train")
        place = folder / ("test" if part == "test" else "train")
        place.mkdir(parents=True, exist_ok=True)
        rows = faces.person == person
        with h5py.File(place / f"subject{person:04d}.h5", "w") as file:
            file["face_patch"] = faces.images[rows][..., ::-1]
            file["face_gaze"] = faces.gaze[rows].astype(np.float32)
            file["face_head_pose"] = faces.head[rows].astype(np.float32)
        split[part].append(f"subject{person:04d}.h5")
    (folder / "train_test_split.json").write_text(json.dumps(split))


CAMERA = np.array([[1100.0, 0, 320], [0, 1090, 240], [0, 0, 1]])
FACE = np.array([[-45, 0, 0], [-15, 0, 0], [15, 0, 0], [45, 0, 0], [-10, 0, 0], [10, 0, 0]])


def photographed(folder: Path, faces: Faces, place: str) -> Iterator[tuple[int, str, Array, Array, Array]]:
    """Each face as a camera sees it that is turned away from it: the same center, so a homography of the normalized
    view. Gives its number, its file, head rotation and translation, and gaze in the camera's frame."""
    side = faces.images.shape[1]
    normal = np.array([[960 * side / 224, 0, side / 2 - 0.5], [0, 960 * side / 224, side / 2 - 0.5], [0, 0, 1]])
    corners = np.array([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]]).T
    rng = np.random.default_rng(0)
    for i, (image, gaze, head, person) in enumerate(
        zip(faces.images, faces.gaze, faces.head, faces.person, strict=True)
    ):
        turn = Rotation.from_euler("xyz", rng.uniform(-0.1, 0.1, 3)).as_matrix()  # normalized frame to camera's
        ends = CAMERA @ turn @ np.linalg.inv(normal) @ corners
        ends = ends[:2] / ends[2]
        (left, top), (right, bottom) = (ends.min(1) - 30).astype(int), (ends.max(1) + 30).astype(int)
        down, across = np.mgrid[max(0, top) : min(480, bottom), max(0, left) : min(640, right)]
        seen = normal @ turn.T @ np.linalg.inv(CAMERA) @ np.stack([across, down, np.ones_like(down)]).reshape(3, -1)
        places = [seen[1] / seen[2], seen[0] / seen[2]]
        part = [map_coordinates(image[..., c].astype(float), places, order=1, mode="nearest") for c in range(3)]
        photo = np.zeros((480, 640, 3), np.uint8)  # nobody looks at what is around the face
        photo[down, across] = np.stack(part, -1).reshape(*down.shape, 3).round()
        name = place.format(person=person, number=i)
        save(folder, name, photo)
        yield i, name, turn @ head_rotation(*head), turn @ np.array([0, 0, 600.0]), turn @ vector(gaze)


def photos(folder: Path, faces: Faces) -> None:
    rows = [
        {
            "image": name,
            "person": f"p{faces.person[i]}",
            "camera": "tilted",
            "head_rotation": rotation.tolist(),
            "head_translation": center.tolist(),
            "gaze_target": (center + 700 * gaze).tolist(),
        }
        for i, name, rotation, center, gaze in photographed(folder, faces, "photos/{number}.jpg")
    ]
    values = {"cameras": {"tilted": {"matrix": CAMERA.tolist()}}, "face_model": FACE.tolist(), "images": rows}
    (folder / "photos.json").write_text(json.dumps(values))


def collected(folder: Path, faces: Faces) -> None:
    """Everybody looks at places in the plane of a screen that leans, on it or beside it."""
    turned = Rotation.from_euler("x", -0.1).as_matrix() @ np.diag([-1.0, 1.0, -1.0])
    screen = Screen(turned, np.array([260.0, 10.0, 0.0]), np.array([0.3, 0.25]))
    model = {"name": "flat", "fingerprint": "0", "points": FACE.tolist()}
    for i, name, rotation, center, gaze in photographed(folder, faces, "p{person}/1/{number:04d}.jpg"):
        place = (folder / name).parent
        values = [*screen.point(center, gaze), 0, 0, 0, *Rotation.from_matrix(rotation).as_rotvec(), *center, *[0] * 12]
        row = dict(zip(COLUMNS, [(folder / name).name, *map(repr, map(float, values))], strict=True))
        if not (place / "dots.csv").exists():
            about = {"person": f"p{faces.person[i]}", "session": "1", "camera": {"matrix": CAMERA.tolist()}}
            (place / "session.json").write_text(json.dumps(about))
            parts = {"rotation": screen.rotation, "translation": screen.translation, "pixel": screen.pixel}
            (place / "screen.json").write_text(json.dumps({key: part.tolist() for key, part in parts.items()}))
            (place / "dots.csv").write_text(",".join(COLUMNS) + "\n")
        with (place / "dots.csv").open("a") as file:
            file.write(",".join(row.values()) + "\n")
    (folder / "collected.json").write_text(json.dumps({"id": "0123456789abcdef", "face_model": model}))


# By data set; what comes after a plus tells apart the ways in which its processing programs write it.
WRITERS: dict[str, Callable[[Path, Faces], None]] = {
    "collected": collected,
    "ethxgaze": ethxgaze,
    "ethxgaze-text": ethxgaze_text,
    "eyediap": eyediap,
    "gaze360": gaze360,
    "gaze360-mat": gaze360_mat,
    "mpiifacegaze": mpiifacegaze,
    "mpiifacegaze-mat": mpiifacegaze_mat,
    "photos": photos,
    "rtgene": rtgene,
    "table": table,
    "ethxgaze-text+split folders": partial(ethxgaze_text, named_from="Image/PART/"),
    "eyediap+a file a person": partial(eyediap, by_person=True),
    "gaze360+split folders": partial(gaze360, named_from="Image/PART/"),
    "gaze360+labels in the root": partial(gaze360, labels=""),
    "gaze360+all in the root": partial(gaze360, images="", named_from="PART/", labels=""),
}


def dataset_of(layout: str) -> str:
    """The data set of one of ``WRITERS``."""
    return layout.partition("+")[0]
