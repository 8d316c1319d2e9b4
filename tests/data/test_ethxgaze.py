"""Reading ETH-XGaze's layout, and refusing what is wrong with it by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from gazenas.data.augmentation import augment, draw_changes
from gazenas.data.dataset import GazeFolder
from gazenas.data.loader import MEAN, STD, Loader, normalize
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError


def open_folder(folder: Path, seed: int = 0) -> GazeFolder:
    return open_data(folder, Reading(split_seed=seed))


def test_rows_equal_the_files(data_folder: Path) -> None:
    split = open_folder(data_folder).split("train")
    rows = np.array([0, 5, 17, 33, 16, 34, 35])
    images = split.images(rows)
    for image, row in zip(images, rows, strict=True):
        name, within = split.images.name(int(row)).split(":")
        with h5py.File(data_folder / "train" / name) as file:
            np.testing.assert_array_equal(image, file["face_patch"][int(within)][..., ::-1])
            assert split.gaze is not None
            np.testing.assert_array_equal(split.gaze[row], file["face_gaze"][int(within)])
        assert split.people[split.person[row]] == Path(name).stem
    np.testing.assert_array_equal(split.in_memory(1 << 30).images(rows), images)


def test_published_folder(published_folder: Path) -> None:
    folder = open_folder(published_folder)
    assert {name: len(split.people) for name, split in folder.splits.items()} == {"train": 3, "val": 1, "test": 1}
    assert not set(folder.split("train").people) & set(folder.split("val").people)
    assert folder.split("test").gaze is None
    assert any("drew 1 of 4 people by split seed 0" in note for note in folder.notes)
    assert any("test: no face_gaze" in note for note in folder.notes)
    drawn = {open_folder(published_folder, seed).split("val").people[0] for seed in range(12)}
    assert len(drawn) > 1


def edit_split(change: Callable[[dict[str, list[str]]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "train_test_split.json"
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))

    return edit


def edit_file(change: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        with h5py.File(folder / "train" / "subject0001.h5", "a") as file:
            change(file)

    return edit


def replace_key(key: str, value: object) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        del file[key]
        file[key] = value

    return edit_file(change)


def set_gaze(value: float) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        file["face_gaze"][3, 1] = value

    return edit_file(change)


def truncate(folder: Path) -> None:
    path = folder / "train" / "subject0001.h5"
    path.write_bytes(path.read_bytes()[:3000])


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no such data folder"),
    "no split file": (lambda f: (f / "train_test_split.json").unlink(), "expected train_test_split.json"),
    "split file is not JSON": (lambda f: (f / "train_test_split.json").write_text("{"), "expected JSON"),
    "split file is a list": (
        lambda f: (f / "train_test_split.json").write_text("[]"),
        "expected a JSON object, found list",
    ),
    "names are numbers": (edit_split(lambda s: s.update(train=[1])), "train: expected a list of file names"),
    "names are paths": (edit_split(lambda s: s["train"].append("../x.h5")), "expected bare file names"),
    "nobody to train on": (edit_split(lambda s: s.update(train=[], test=[])), "train: expected at least one file"),
    "listed twice": (edit_split(lambda s: s["train"].append(s["train"][0])), "more than once"),
    "in two splits": (edit_split(lambda s: s["val"].append(s["train"][0])), "'subject0000' is in both train and val"),
    "tested on training person": (edit_split(lambda s: s["test"].append(s["train"][0])), "is in both train and test"),
    "absent file": (
        edit_split(lambda s: s["train"].append("subject0999.h5")),
        "subject0999.h5: listed in train_test_split.json but absent",
    ),
    "truncated": (truncate, "truncated"),
    "not HDF5": (lambda f: (f / "train" / "subject0001.h5").write_text("hello"), "expected a readable HDF5 file"),
    "no images": (edit_file(lambda h: h.__delitem__("face_patch")), "lacks the key face_patch"),
    "no gaze": (edit_file(lambda h: h.__delitem__("face_gaze")), "lacks the key face_gaze"),
    "images of another shape": (
        replace_key("face_patch", np.zeros((16, 32, 30, 3), np.uint8)),
        "face_patch: expected shape",
    ),
    "images of another type": (
        replace_key("face_patch", np.zeros((16, 32, 32, 3))),
        "face_patch: expected uint8, found float64",
    ),
    "images of another size": (
        replace_key("face_patch", np.zeros((16, 48, 48, 3), np.uint8)),
        "images of one size, found sides [32, 48]",
    ),
    "empty file": (replace_key("face_patch", np.zeros((0, 32, 32, 3), np.uint8)), "face_patch: expected shape"),
    "gaze of another length": (
        replace_key("face_gaze", np.zeros((15, 2))),
        "face_gaze: expected floats of shape (16, 2)",
    ),
    "gaze of whole numbers": (replace_key("face_gaze", np.zeros((16, 2), int)), "face_gaze: expected floats"),
    "gaze not finite": (set_gaze(np.nan), "1 rows are not finite, the first is row 3"),
    "gaze in degrees": (set_gaze(25.0), "are these degrees?"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(data_folder: Path, tmp_path: Path, fault: str) -> None:
    spoil, message = FAULTS[fault]
    folder = tmp_path / "faces"
    shutil.copytree(data_folder, folder)
    spoil(folder)
    with pytest.raises(InputError) as error:
        open_folder(folder)
    assert message in str(error.value)


def test_damaged_image_names_file_and_rows(data_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    shutil.copytree(data_folder, folder)
    path = folder / "train" / "subject0001.h5"
    with h5py.File(path, "a") as file:
        file["face_patch"][7] = np.arange(3) * 40  # noise would be stored as it is; this compresses
        chunk = file["face_patch"].id.get_chunk_info(7)
    values = bytearray(path.read_bytes())
    values[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(bytes(values))
    split = open_folder(folder).split("train")
    with pytest.raises(InputError, match=r"subject0001.h5: face_patch cannot be read between rows 0 and 15"):
        split.images(np.arange(16, 32))


def test_loader_is_a_function_of_seed_and_epoch(data_folder: Path) -> None:
    split = open_folder(data_folder).split("train")

    def rows(seed: int, epoch: int, workers: int = 0) -> list[int]:
        return [
            int(row) for batch in Loader(split, 8, seed, train=True, workers=workers).epoch(epoch) for row in batch.rows
        ]

    assert rows(0, 0) == rows(0, 0) == rows(0, 0, workers=1)
    assert rows(0, 0) != rows(0, 1)
    assert rows(0, 0) != rows(1, 0)
    assert sorted(rows(0, 0)) == list(range(len(split)))
    ordered = [int(row) for batch in Loader(split, 7, 0, train=False).epoch(0) for row in batch.rows]
    assert ordered == list(range(len(split)))


def test_an_epoch_can_begin_at_any_batch_and_be_shared(data_folder: Path) -> None:
    split = open_folder(data_folder).split("train")
    whole = list(Loader(split, 10, 0, train=True).epoch(3))
    later = list(Loader(split, 10, 0, train=True).epoch(3, start=2))
    assert len(later) == len(whole) - 2
    assert all(torch.equal(a.images, b.images) for a, b in zip(whole[2:], later, strict=True))
    shares = [list(Loader(split, 10, 0, train=True, rank=rank, processes=3).epoch(3)) for rank in range(3)]
    for index, batch in enumerate(whole):
        parts = [share[index] for share in shares]
        assert sorted(np.concatenate([part.rows for part in parts])) == sorted(batch.rows)
        assert sum(part.weight for part in parts) == pytest.approx(3)
        for rank, part in enumerate(parts):
            assert torch.equal(part.images, batch.images[rank::3])
            assert torch.equal(part.labels, batch.labels[rank::3])


@pytest.mark.parametrize("size", [2, 3])
def test_evaluation_reads_every_image_once_over_all_processes(data_folder: Path, size: int) -> None:
    split = open_folder(data_folder).split("train")
    rows = [
        int(row)
        for rank in range(size)
        for batch in Loader(split, len(split) - 1, 0, train=False, rank=rank, processes=size).epoch(0)
        for row in batch.rows
    ]
    assert sorted(rows) == list(range(len(split)))


def test_normalize_is_imagenets() -> None:
    pixels = torch.randint(0, 256, (2, 5, 5, 3), dtype=torch.uint8)
    expected = (pixels.permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(normalize(pixels), expected)
    assert normalize(pixels).is_contiguous(memory_format=torch.channels_last)


def test_augmentation_mirrors_image_and_yaw_together() -> None:
    images, gaze = torch.randn(64, 3, 6, 6), torch.rand(64, 2) + 0.1
    changed, labels = augment(images, gaze, draw_changes(64, torch.Generator().manual_seed(0)))
    mirrored = labels[:, 1] < 0
    assert 10 < int(mirrored.sum()) < 54
    assert torch.equal(labels[:, 0], gaze[:, 0])
    assert torch.equal(labels[:, 1].abs(), gaze[:, 1])
    for image, result, flipped in zip(images, changed, mirrored, strict=True):
        source = (image.flip(2) if flipped else image).flatten()
        # An affine change of brightness keeps the correlation at exactly one.
        assert torch.corrcoef(torch.stack([source, result.flatten()]))[0, 1] > 0.9999
