"""Every reader gives what was written in its format; what cannot be right is refused by name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gazenas.data.dataset import GazeFolder, join
from gazenas.data.readers import DATASETS, open_data
from gazenas.data.readers.mpiifacegaze import scale_of
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.gaze import angles_to_vectors, angular_error, vectors_to_angles
from tests.data import layouts
from tests.data.layouts import WRITERS, Faces


@pytest.fixture(scope="module")
def faces(data_folder: Path) -> Faces:
    return layouts.faces_of(data_folder)


@pytest.fixture
def folder(tmp_path: Path, faces: Faces, request: pytest.FixtureRequest) -> Path:
    place = tmp_path / request.param
    WRITERS[request.param](place, faces)
    return place


def jpeg(image: np.ndarray, tmp_path: Path) -> np.ndarray:  # type: ignore[type-arg]
    Image.fromarray(image).save(tmp_path / "one.jpg", quality=95)
    return np.asarray(Image.open(tmp_path / "one.jpg").convert("RGB"))


def test_every_reader_has_a_layout_here() -> None:
    assert {layouts.dataset_of(name) for name in WRITERS} | {"300w-lp", "aflw2000", "gazecapture"} == set(
        DATASETS
    )  # of other tasks


@pytest.mark.parametrize("folder", WRITERS, indirect=True)
def test_rows_are_those_written(folder: Path, faces: Faces, tmp_path: Path) -> None:
    opened, dataset = open_data(folder), layouts.dataset_of(folder.name)
    assert opened.dataset == dataset
    assert sum(len(split) for split in opened.splits.values()) == len(faces.gaze)
    seen = []
    for split in opened.splits.values():
        images = split.images(np.arange(len(split)))
        for row, image in enumerate(images):
            name = split.images.name(row)
            index = int(re.findall(r"\d+", name.rsplit(".", 1)[0] if "." in name and ":" not in name else name)[-1])
            if ":" in name:
                person = int(re.findall(r"\d+", name)[0])
                index = int(np.flatnonzero(faces.person == person)[index])
            expected = faces.images[index]
            if dataset in ("photos", "collected"):  # warped twice
                small = np.asarray(Image.fromarray(image).resize(expected.shape[:2], Image.Resampling.BOX), float)
                assert np.abs(small - expected).mean() < 6
            else:
                lossless = dataset in ("ethxgaze", "mpiifacegaze-mat", "table")
                np.testing.assert_array_equal(image, expected if lossless else jpeg(expected, tmp_path))
            if split.gaze is not None:
                np.testing.assert_allclose(split.gaze[row], faces.gaze[index], atol=1e-6)
            if split.head_pose is not None:
                np.testing.assert_allclose(split.head_pose[row], faces.head[index], atol=1e-6)
            seen.append((index, split.people[split.person[row]]))
    assert sorted(index for index, _ in seen) == list(range(len(faces.gaze)))
    owners = {(int(faces.person[index]), name) for index, name in seen}
    assert len(owners) == len({name for _, name in owners}) == 5
    if dataset != "ethxgaze-text":
        assert all(split.gaze is not None for split in opened.splits.values())
    assert (opened.group == "recording") == dataset.startswith("gaze360")
    assert opened.frame == {"gaze360": "none", "gaze360-mat": "none", "mpiifacegaze-mat": "SR"}.get(dataset, "R")


@pytest.mark.parametrize("folder", ["mpiifacegaze"], indirect=True)
def test_scale_is_kept_where_it_is_asked_for(folder: Path, faces: Faces) -> None:
    scaled = open_data(folder, Reading(frame="SR"))
    assert scaled.frame == "SR"
    pooled, true = join("all", list(scaled.splits.values())), open_data(folder)
    plain = join("all", list(true.splits.values()))
    assert pooled.gaze is not None
    assert plain.gaze is not None
    stored = angles_to_vectors(plain.gaze.astype(np.float64)) * np.array([1, 1, layouts.SCALE])
    assert angular_error(pooled.gaze.astype(np.float64), stored).max() < 1e-4
    at_500_mm = angles_to_vectors(np.deg2rad(np.array([[0.0, 10.0]]))) * np.array([1, 1, 600 / 500])
    assert abs(np.rad2deg(vectors_to_angles(at_500_mm))[0, 1] - 8.4) < 0.05
    with pytest.raises(InputError, match="--frame"):
        open_data(folder, Reading(frame="none"))


@pytest.mark.parametrize(("word", "scale"), [("1.2", 1.2), ("1,1,1.2", 1.2), ("1,0,0,0,1,0,0,0,1.2", 1.2)])
def test_scale_column(word: str, scale: float) -> None:
    assert scale_of(["x"] * 10 + [word]) == pytest.approx(scale)


@pytest.mark.parametrize("folder", ["eyediap"], indirect=True)
def test_order_is_an_option_that_the_header_overrules(folder: Path) -> None:
    with pytest.raises(InputError, match=r"disagree in .* rows .*they would fit with yaw and pitch swapped"):
        open_data(folder, Reading(order="pitch,yaw"))
    for path in folder.glob("ClusterLabel/*"):
        path.write_text(path.read_text().replace("2DGaze", "2DGaze(yaw,pitch)", 1))
    assert "yaw,pitch (by the header)" in open_data(folder).choices["order"]
    with pytest.raises(InputError, match="the header says .* --order says 'pitch,yaw'"):
        open_data(folder, Reading(order="pitch,yaw"))
    with pytest.raises(InputError, match="they would fit with the sign of pitch flipped"):
        open_data(folder, Reading(flip="pitch"))


@pytest.mark.parametrize("folder", ["ethxgaze-text"], indirect=True)
def test_names_with_yp_hold_yaw_first(folder: Path) -> None:
    plain = open_data(folder).split("train")
    (folder / "Label" / "train.label").rename(folder / "Label" / "train_YP.label")
    turned = open_data(folder).split("train")
    assert plain.gaze is not None
    assert turned.gaze is not None
    np.testing.assert_array_equal(plain.gaze[:, ::-1], turned.gaze)


@pytest.mark.parametrize("folder", ["gaze360-mat"], indirect=True)
def test_undetected_faces(folder: Path, faces: Faces) -> None:
    boxes = np.full((len(faces.gaze), 4), 0.5)
    boxes[::4] = -1
    layouts.gaze360_mat(folder, faces, person_face_bbox=boxes)

    def count(opened: GazeFolder) -> int:
        return sum(len(split) for split in opened.splits.values())

    assert count(open_data(folder)) == len(faces.gaze) - len(faces.gaze[::4])
    assert count(open_data(folder, Reading(undetected=True))) == len(faces.gaze)


@pytest.mark.parametrize("folder", ["table"], indirect=True)
def test_sessions_and_size(folder: Path) -> None:
    opened = open_data(folder / "labels.csv", Reading(size=16))
    split = opened.split("all")
    assert split.sessions == ["day0", "day1"]
    assert split.session is not None
    assert split.images(np.array([3])).shape == (1, 16, 16, 3)
    assert len(np.unique(split.group(by_session=True))) == 10
    for by_session in (False, True):
        groups, rows = split.group(by_session), split.rows_by_group(by_session)
        assert len(rows) == len(np.unique(groups))
        for number, own in zip(np.unique(groups), rows, strict=True):
            np.testing.assert_array_equal(own, np.flatnonzero(groups == number))
    assert split.at(np.empty(0, np.int64)).rows_by_group() == []


def test_open_data_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    for place, message in (
        (tmp_path / "none", "no such data folder"),
        (tmp_path / "none.csv", "no such data folder"),
        (tmp_path, "another known layout"),
    ):
        with pytest.raises(InputError, match=message):
            open_data(place)
    with pytest.raises(InputError, match="--format: expected auto or one of"):
        open_data(tmp_path, dataset="imagenet")
    with pytest.raises(InputError, match=r"--order: expected one of .*; --flip"):
        open_data(tmp_path, Reading(order="yaw", flip="roll"))


def test_joined_splits_keep_columns_that_all_have(few_faces: Faces, tmp_path: Path) -> None:
    layouts.photos(tmp_path, few_faces)
    split = open_data(tmp_path).split("all")
    split.columns["landmarks"] = np.arange(len(split) * 12.0).reshape(-1, 6, 2)
    order = np.random.default_rng(0).permutation(len(split))
    parts = [split.at(order[:9]), split.at(order[9:])]
    joined = join("again", parts)
    assert set(joined.columns) == {"face_mat_norm", "face_center", "landmarks"}
    for key, values in split.columns.items():
        np.testing.assert_array_equal(joined.columns[key], values[order])
    del parts[1].columns["face_center"]
    parts[1].columns["landmarks"] = parts[1].columns["landmarks"][:, :5]
    assert set(join("again", parts).columns) == {"face_mat_norm"}


FOUND = {
    "ethxgaze-text": "Image",
    "ethxgaze-text+split folders": "test: Image/test, train: Image/train",
    "gaze360": "Image",
    "gaze360+split folders": "test: Image/test, train: Image/train, val: Image/val",
    "gaze360+labels in the root": "Image",
    "gaze360+all in the root": "test: test, train: train, val: val",
    "eyediap+a file a person": "Image",
}


@pytest.mark.parametrize("folder", FOUND, indirect=True)
def test_where_images_were_found_is_recorded(folder: Path) -> None:
    opened = open_data(folder)
    assert any(note.endswith(f"images in {FOUND[folder.name]}") for note in opened.notes)
    assert opened.choices.get("images", "Image") == FOUND[folder.name]


@pytest.mark.parametrize("folder", ["ethxgaze-text+split folders", "gaze360+labels in the root"], indirect=True)
def test_where_images_were_looked_for_is_said(folder: Path) -> None:
    (folder / "Image").rename(folder / "Pictures")
    with pytest.raises(InputError) as error:
        open_data(folder)
    looked = str(error.value).split("looked in ")[1].split(", ")
    assert looked == [str(folder), str(folder / "test")]
    (folder / "Pictures").rename(folder / "Image")
    for part in (folder / "Image").iterdir():
        part.rename(part.with_name(f"{part.name}_images"))
    with pytest.raises(InputError, match=r"expected images such as .*, found none of \d+; looked in "):
        open_data(folder)


@pytest.mark.parametrize("folder", ["eyediap+a file a person"], indirect=True)
def test_eyediap_by_person_is_not_taken_for_mpiifacegaze(folder: Path) -> None:
    """Its files p10 to p16 are named like those of MPIIFaceGaze."""
    for path in sorted((folder / "Label").iterdir()):
        path.rename(path.with_name(f"p1{path.stem[1:]}.label"))
    opened = open_data(folder)
    assert opened.dataset == "eyediap"
    assert opened.choices["labels"] == "Label"
    assert set(opened.parts) == {"p11", "p12", "p13", "p14", "p15"}
