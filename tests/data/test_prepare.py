"""Any layout becomes the HDF5 one with every row; what is damaged is named, and nothing that looks finished is left."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from gazenas.__main__ import main
from gazenas.data.dataset import join
from gazenas.data.preparation import prepare
from gazenas.data.readers import open_data
from gazenas.errors import InputError
from tests.data.layouts import WRITERS, Faces


@pytest.fixture(scope="module")
def sources(few_faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    for name, write in WRITERS.items():
        write(root / name, few_faces)
    return root


@pytest.mark.parametrize("layout", WRITERS)
def test_every_row_arrives(layout: str, sources: Path, tmp_path: Path) -> None:
    source = open_data(sources / layout)
    prepare(source, tmp_path / "out")
    made = open_data(tmp_path / "out")
    assert (made.frame, made.group, made.dataset) == (source.frame, source.group, source.dataset)
    assert {frozenset(people) for people in made.parts.values()} == {
        frozenset(people) for people in source.parts.values()
    }
    rows: dict[str, Any] = {}
    for folder in (source, made):
        for split in folder.splits.values():
            names = [split.images.name(row) for row in range(len(split))]
            if folder is made:
                stored = split.images
                names = [stored_source(tmp_path / "out", name) for name in names]
                assert stored is not None
            for row, name in enumerate(names):
                labels = () if split.gaze is None else tuple(split.gaze[row])
                entry = (split.people[split.person[row]], labels, split.images(np.array([row])).tobytes())
                if folder is source:
                    rows[f"{split.name}/{name}"] = entry
                else:
                    found = [key for key, value in rows.items() if key.endswith(f"/{name}") and value == entry]
                    assert len(found) == 1, name
                    del rows[found[0]]
    assert not rows


def stored_source(out: Path, name: str) -> str:
    file, row = name.split(":")
    with h5py.File(next(out.glob(f"*/{file}"))) as opened:
        return str(opened["source"][int(row)].decode())


def test_sessions_arrive(sources: Path, tmp_path: Path) -> None:
    prepare(open_data(sources / "table"), tmp_path / "out")
    pool = join("all", list(open_data(tmp_path / "out").splits.values()))
    assert pool.sessions == ["day0", "day1"]


def test_people_of_hostile_names_stay_inside(sources: Path, tmp_path: Path) -> None:
    source = open_data(sources / "table")
    people = ["../../escaped", "..", "a/b", "a_b", "x" * 300]
    source.split("all").people = people
    prepare(source, tmp_path / "inner" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["out"]
    made = open_data(tmp_path / "inner" / "out")
    assert sorted(person for split in made.splits.values() for person in split.people) == sorted(people)


def test_interrupted_it_goes_on(sources: Path, tmp_path: Path) -> None:
    class EnoughError(Exception):
        pass

    def stop(count: int) -> None:
        raise EnoughError

    source = open_data(sources / "eyediap")
    with pytest.raises(EnoughError):
        prepare(source, tmp_path / "out", on_rows=stop)
    first = next((tmp_path / "out" / "train").glob("*.h5"))
    before = first.stat().st_mtime_ns
    assert not (tmp_path / "out" / "train_test_split.json").exists()
    with pytest.raises(InputError, match="begun otherwise"):
        prepare(open_data(sources / "rtgene"), tmp_path / "out")
    prepare(source, tmp_path / "out")
    assert first.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="already holds a data folder"):
        prepare(source, tmp_path / "out")


def test_unreadable_rows_are_listed_and_mended(sources: Path, tmp_path: Path) -> None:
    shutil.copytree(sources / "table", tmp_path / "data")
    image = tmp_path / "data" / "images" / "3.png"
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    arguments = ["data", "prepare", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert not (tmp_path / "out" / "train_test_split.json").exists()
    with (tmp_path / "out" / "unreadable.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert [row["where"] for row in listed] == ["images/3.png"]
    assert "cannot be decoded" in listed[0]["reason"]
    assert main(["data", "prepare", str(tmp_path / "data"), "--out", str(tmp_path / "less"), "--leave-out"]) == 0
    image.write_bytes(whole)
    assert main(arguments) == 0
    assert not (tmp_path / "out" / "unreadable.csv").exists()
    counts = [sum(len(s) for s in open_data(tmp_path / name).splits.values()) for name in ("less", "out")]
    assert counts[1] == counts[0] + 1


# What is done to a folder, and what the message must say. Every one is status 2, with nothing left that looks valid.
Damage = tuple[str, Callable[[Path], object], str]


def rewrite(pattern: str, change: Callable[[str], str]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        path = sorted(folder.glob(pattern))[0]
        path.write_text(change(path.read_text()))

    return apply


def cut(pattern: str, share: float = 0.5) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        path = sorted(folder.glob(pattern))[0]
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return apply


def remove(pattern: str) -> Callable[[Path], object]:
    return lambda folder: sorted(folder.glob(pattern))[0].unlink()


def edit_h5(pattern: str, change: Callable[[h5py.File], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        with h5py.File(sorted(folder.glob(pattern))[0], "a") as file:
            change(file)

    return apply


def put(key: str, change: Callable[[Any], Any]) -> Callable[[h5py.File], object]:
    def apply(file: h5py.File) -> None:
        values = change(file[key][()])
        del file[key]
        file[key] = values

    return apply


def row(number: int, change: Callable[[list[str]], list[str]], separator: str = " ") -> Callable[[str], str]:
    def apply(text: str) -> str:
        lines = text.splitlines()
        lines[number] = separator.join(change(lines[number].split(separator)))
        return "\n".join(lines) + "\n"

    return apply


def word(column: int, value: str) -> Callable[[list[str]], list[str]]:
    return lambda words: [*words[:column], value, *words[column + 1 :]]


def edit_mat(**change: Any) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        values = {k: v for k, v in loadmat(folder / "metadata.mat", squeeze_me=True).items() if k[0] != "_"}
        for key, value in change.items():
            if value is None:
                del values[key]
            else:
                values[key] = value(values[key])
        savemat(folder / "metadata.mat", values)

    return apply


def edit_json(pattern: str, change: Callable[[Any], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        path = sorted(folder.glob(pattern))[0]
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))

    return apply


def first_nan(values: Any) -> Any:
    values[0] = np.nan
    return values


LABELS = {
    "mpiifacegaze": ("Label/p00.label", 5, 7),
    "eyediap": ("ClusterLabel/Cluster0.label", 4, 6),
    "gaze360": ("Label/train.label", 4, 5),
    "rtgene": ("Label/train1.label", 4, 6),
}
DAMAGES: list[Damage] = []
for name, (path, vector, angles) in LABELS.items():
    DAMAGES += [
        (name, rewrite(path, lambda text: ""), "empty file"),
        (name, rewrite(path, lambda text: "\n" + text), "expected a header line"),
        (name, rewrite(path, lambda text: text.split("\n", 1)[1]), "expected a header line, found a row"),
        (name, rewrite(path, lambda text: text.split("\n", 1)[0]), "has a header but no rows"),
        (name, rewrite(path, row(2, lambda words: words[:3])), "columns as in the header, found 3"),
        (name, rewrite(path, row(1, word(angles, "0.1"))), "expected 2 comma-separated numbers, found 1"),
        (name, rewrite(path, row(1, word(angles, "a,b"))), "expected 2 comma-separated numbers, found 'a,b'"),
        (name, rewrite(path, row(1, word(angles, "nan,0.1"))), "expected finite numbers"),
        (name, rewrite(path, row(1, word(angles, "0.3,40"))), "are these degrees"),
        (name, rewrite(path, row(1, word(vector, "0,0,0"))), "expected about unit length"),
        (name, rewrite(path, row(1, word(vector, "1,0"))), "expected 3 comma-separated numbers, found 2"),
        (name, rewrite(path, row(1, word(vector, "0,0,-1"))), "gaze vector and gaze angles differ by"),
        (name, rewrite(path, row(1, word(0, "../secret.jpg"))), "within the image folder"),
        (name, rewrite(path, row(1, word(0, "face"))), "expected an image path"),
        (name, rewrite(path, row(1, word(0, "nobody/0.jpg"))), "nobody/0.jpg"),
        (name, cut("Image/**/*.jpg"), "cannot be decoded"),
        (name, cut("Image/**/*.jpg", 0.0), "of something else"),
        (name, lambda folder, p=path: (folder / p).write_bytes(b"\xff\xfe\x00\x81" * 9), "expected a text file"),
    ]
DAMAGES += [
    ("mpiifacegaze", rewrite("Label/p01.label", row(1, word(10, "1,1"))), "scale: expected 1, 3 or 9"),
    ("mpiifacegaze", rewrite("Label/p01.label", row(1, word(10, "1,1,0"))), "scale: expected a factor"),
    ("eyediap", rewrite("ClusterLabel/*1.label", row(1, word(3, "one"))), "expected a name such as 1_A_CS_M_16"),
    ("gaze360", rewrite("Label/train.label", row(1, word(3, "x.jpg"))), "begins with rec_NNN"),
    ("rtgene", rewrite("Label/train2.label", row(1, word(3, "bob"))), "expected one such as s001"),
    (
        "ethxgaze-text",
        rewrite("Label/train.label", lambda text: text.replace("face", "picture", 1)),
        "expected a header with face",
    ),
    ("ethxgaze-text", rewrite("Label/train.label", row(1, word(1, "-"))), "have no gaze: expected all or none"),
    ("ethxgaze-text", rewrite("Label/train.label", row(1, word(0, "train/x/1.jpg"))), "expected subjectNNNN"),
    ("gaze360-mat", cut("metadata.mat"), "expected a MATLAB file"),
    ("gaze360-mat", edit_mat(gaze_dir=None), "lacks gaze_dir"),
    ("gaze360-mat", edit_mat(gaze_dir=lambda v: v[:, :2]), "gaze_dir: expected numbers of shape"),
    ("gaze360-mat", edit_mat(frame=lambda v: v[:-1]), "frame: expected numbers of shape"),
    ("gaze360-mat", edit_mat(gaze_dir=lambda v: first_nan(v)), "expected about unit length"),
    ("gaze360-mat", edit_mat(recording=lambda v: v + 70), "recording: expected numbers from 0"),
    ("gaze360-mat", edit_mat(recordings=lambda v: np.array([f"../{n}" for n in v])), "expected names of folders"),
    ("gaze360-mat", edit_mat(person_face_bbox=lambda v: v * 0 - 1), "have no detected face"),
    ("gaze360-mat", remove("imgs/*/*/*/*.jpg"), "no such image"),
    ("mpiifacegaze-mat", cut("p00.mat"), "is it truncated"),
    ("mpiifacegaze-mat", edit_h5("p00.mat", lambda file: file.__delitem__("Data/label")), "Data/label: expected shape"),
    ("mpiifacegaze-mat", edit_h5("p00.mat", lambda file: file.__delitem__("Data/data")), "Data/data: expected shape"),
    ("mpiifacegaze-mat", edit_h5("p00.mat", put("Data/label", lambda v: v[:, :2])), "4 or more"),
    (
        "mpiifacegaze-mat",
        edit_h5("p00.mat", put("Data/label", lambda v: v * 57)),
        "rows cannot be used|are these degrees",
    ),
    ("mpiifacegaze-mat", edit_h5("p00.mat", put("Data/label", first_nan)), "expected finite angles"),
    ("table", rewrite("labels.csv", lambda text: ""), "lacks image, person, pitch, yaw"),
    ("table", rewrite("labels.csv", lambda text: text.replace("person", "who", 1)), "lacks person"),
    ("table", rewrite("labels.csv", lambda text: text.split("\n", 1)[0]), "has a header but no rows"),
    ("table", rewrite("labels.csv", lambda text: text.replace("_deg", "")), "say the unit"),
    ("table", rewrite("labels.csv", lambda text: text.replace("pitch_deg", "pitch_rad", 1)), "different units"),
    ("table", rewrite("labels.csv", row(1, word(3, "up"), ",")), "expected numbers, found 'up'"),
    ("table", rewrite("labels.csv", row(1, word(3, "nan"), ",")), "expected finite numbers"),
    ("table", rewrite("labels.csv", row(1, word(3, "140"), ",")), "pitch within"),
    ("table", rewrite("labels.csv", row(1, lambda words: words[:3], ",")), "columns as in the header"),
    ("table", rewrite("labels.csv", row(1, word(1, ""), ",")), "expected an image and a person"),
    ("table", rewrite("labels.csv", row(1, word(0, "/etc/passwd"), ",")), "within the table's folder"),
    ("table", remove("images/7.png"), "no such image"),
    ("table", cut("images/7.png"), "cannot be decoded"),
    ("photos", rewrite("photos.json", lambda text: text[:-9]), "expected JSON"),
    ("photos", rewrite("photos.json", lambda text: "[]"), "expected a JSON object, found list"),
    ("photos", edit_json("photos.json", lambda v: v["images"].clear()), "expected at least one, found none"),
    ("photos", edit_json("photos.json", lambda v: v["images"][0].update(camera="x")), "camera: expected one of tilted"),
    ("photos", edit_json("photos.json", lambda v: v["cameras"]["tilted"].update(matrix=[1])), "matrix: expected"),
    (
        "photos",
        edit_json("photos.json", lambda v: v["images"][0].update(head_translation=[0, 0, -5])),
        "in front of the camera",
    ),
    ("photos", edit_json("photos.json", lambda v: v["images"][0].pop("head_rotation")), "found neither"),
    (
        "photos",
        edit_json("photos.json", lambda v: v["images"][0].update(head_rotation=[[1, 0, 0]] * 3)),
        "found a matrix that is none",
    ),
    ("photos", edit_json("photos.json", lambda v: v.pop("face_model")), "face_model: expected six points"),
    ("collected", edit_json("collected.json", lambda v: v.update(id="../x")), "an id of 16 hexadecimal digits"),
    ("collected", edit_json("collected.json", lambda v: v.pop("face_model")), "a face_model"),
    ("collected", edit_json("collected.json", lambda v: v.update(face_model={})), "face_model: expected"),
    ("collected", edit_json("p0/1/session.json", lambda v: v.pop("camera")), "session.json: camera: matrix: expected"),
    ("collected", edit_json("p0/1/session.json", lambda v: v.pop("person")), "expected image, person and camera"),
    ("collected", edit_json("p0/1/screen.json", lambda v: v.update(pixel=[0, 1])), "lengths above 0"),
    ("collected", remove("p0/1/dots.csv"), "dots.csv: no such file"),
    ("collected", rewrite("p0/1/dots.csv", row(1, word(1, "left"), ",")), "left"),
    ("collected", rewrite("p0/1/dots.csv", row(1, word(0, "../../x.jpg"), ",")), "within the folder"),
    ("collected", rewrite("p0/1/dots.csv", row(1, word(6, "nan"), ",")), "head_rotation: expected finite"),
    ("collected", remove("p0/1/*.jpg"), "no such image"),
    ("ethxgaze", rewrite("train_test_split.json", lambda text: text[:-5]), "expected JSON"),
    (
        "ethxgaze",
        edit_json("train_test_split.json", lambda v: v["test"].append(v["train"][0])),
        "is in both train and test",
    ),
    ("ethxgaze", edit_json("train_test_split.json", lambda v: v["train"].append("../a.h5")), "bare file names"),
    ("ethxgaze", remove("train/*.h5"), "listed in train_test_split.json but absent"),
    ("ethxgaze", cut("train/*.h5"), "is it truncated"),
    ("ethxgaze", edit_h5("train/*.h5", put("face_gaze", first_nan)), "rows are not finite"),
    ("ethxgaze", edit_h5("train/*.h5", put("face_gaze", lambda v: v * 57)), "are these degrees"),
    ("ethxgaze", edit_h5("train/*.h5", put("face_gaze", lambda v: v[1:])), "face_gaze: expected floats of shape"),
    ("ethxgaze", edit_h5("train/*.h5", put("face_patch", lambda v: v[..., :2])), "face_patch: expected shape"),
    ("ethxgaze", edit_h5("train/*.h5", put("face_patch", lambda v: v.astype(np.float32))), "expected uint8"),
    ("ethxgaze", edit_h5("train/*.h5", put("face_patch", lambda v: v[:, :16, :16])), "expected images of one size"),
    ("ethxgaze", edit_h5("train/*.h5", lambda file: file.__delitem__("face_patch")), "lacks the key face_patch"),
]


@pytest.mark.parametrize("number", range(len(DAMAGES)))
def test_damage_is_named(number: int, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout, damage, message = DAMAGES[number]
    folder = tmp_path / "data"
    shutil.copytree(sources / layout, folder)
    damage(folder)
    assert main(["data", "prepare", str(folder), "--out", str(tmp_path / "out"), "--format", layout]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out" / "train_test_split.json").exists()


def test_there_are_a_hundred_of_twenty_kinds() -> None:
    assert len(DAMAGES) >= 100
    assert len({message for _, _, message in DAMAGES}) >= 20


def test_a_pool_becomes_train_and_test(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People drawn by a seed and named, in a folder that every verb can train on; refused where there is a test
    part."""
    out = tmp_path / "out"
    words = ["data", "prepare", str(sources / "mpiifacegaze"), "--out", str(out)]
    assert main([*words, "--test-people", "2", "--seed", "5"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    made = open_data(out)
    assert set(made.splits) == {"train", "val", "test"}
    assert [len(made.splits[name].people) for name in ("train", "val", "test")] == [2, 1, 2]
    assert all(person in said for person in made.split("test").people)
    assert "our own split, not a published one" in said
    assert len(set().union(*(split.people for split in made.splits.values()))) == 5
    for arguments, message in (
        (["data", "prepare", str(sources / "mpiifacegaze"), "--test-people", "4"], "expected 1 to 3 of 5"),
        (["data", "prepare", str(sources / "gaze360"), "--test-people", "1"], "has a test part of its own"),
    ):
        assert main([*arguments, "--out", str(tmp_path / "other")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
