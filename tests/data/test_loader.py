"""Batches: sessions apart, blocks whole, the same from any step on, whatever reads them."""

from __future__ import annotations

import itertools
import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from gazenas.data.augmentation import AUGMENTATIONS
from gazenas.data.dataset import GazeSplit, join
from gazenas.data.loader import Loader, normalize
from gazenas.data.readers import open_data
from gazenas.errors import InputError
from gazenas.models.network import GRAY_MEAN, GRAY_STD, MEAN, STD
from tests.data.layouts import WRITERS, Faces


def pool_of(folder: Path) -> GazeSplit:
    return join("all", list(open_data(folder).splits.values()))


@pytest.mark.parametrize(("order", "kind"), [("mixed", "strong"), ("session", "strong"), ("mixed", "real")])
def test_an_epoch_can_begin_anywhere(data_folder: Path, order: str, kind: str) -> None:
    loader = Loader(pool_of(data_folder), 5, 3, train=True, order=order, augmentation=kind)
    whole = list(loader.epoch(2))
    assert len(whole) == len(loader)
    for batch, again in zip(whole[4:], loader.epoch(2, 4), strict=True):
        assert torch.equal(batch.images, again.images)
        np.testing.assert_array_equal(batch.rows, again.rows)
    assert not all(np.array_equal(a.rows, b.rows) for a, b in zip(whole, loader.epoch(3), strict=True))


def test_batches_of_one_session(data_folder: Path) -> None:
    split = pool_of(data_folder)
    for batch in Loader(split, 6, 0, train=True, order="session").epoch(0):
        assert len(np.unique(split.person[batch.rows])) == 1
    split.sessions, split.session = ["morning", "night"], np.arange(len(split)) % 2
    seen = []
    for batch in Loader(split, 6, 0, train=True, order="session").epoch(0):
        assert len(np.unique(split.group(by_session=True)[batch.rows])) == 1
        seen += batch.rows.tolist()
    assert len(seen) == len(set(seen))
    assert len(seen) >= 0.7 * len(split)


def test_blocks_stay_whole(data_folder: Path, tmp_path: Path) -> None:
    split = replace(pool_of(data_folder), block=8)
    loader = Loader(split, 16, 0, train=True)
    rows = [batch.rows for batch in loader.epoch(0)]
    for batch in rows:
        blocks, counts = np.unique(batch // 8, return_counts=True)
        assert (counts == 8).all(), blocks
    assert len(np.unique(np.concatenate(rows))) == 80
    assert not np.array_equal(np.sort(rows[0]), np.arange(16))


def test_the_block_is_the_files_chunk(data_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(data_folder, tmp_path / "data")
    for path in (tmp_path / "data").glob("*/*.h5"):
        with h5py.File(path, "a") as file:
            images = file["face_patch"][()]
            del file["face_patch"]
            file.create_dataset("face_patch", data=images, chunks=(4, 32, 32, 3))
    split = open_data(tmp_path / "data").split("train")
    assert split.block == 4
    assert split.in_memory(1 << 30).block == 1
    np.testing.assert_array_equal(
        split.images(np.arange(9)), open_data(data_folder).split("train").images(np.arange(9))
    )


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_shares_are_those_of_one_process(data_folder: Path, kind: str) -> None:
    loader = Loader(pool_of(data_folder), 8, 0, train=True, augmentation=kind)
    whole = next(loader.epoch(0))
    for rank in range(2):
        share = next(replace(loader, rank=rank, processes=2).epoch(0))
        assert torch.equal(share.images, whole.images[rank::2])
        torch.testing.assert_close(share.labels, whole.labels[rank::2], rtol=0, atol=1e-6)


@pytest.mark.parametrize("order", ["mixed", "session"])
@pytest.mark.parametrize("processes", [2, 3, 4])
def test_processes_take_the_same_steps_where_batches_are_small(data_folder: Path, order: str, processes: int) -> None:
    """Rows, changes and weights are those of one process, whatever the sizes of sessions; a row that is only lent
    weighs nothing."""
    split = pool_of(data_folder)
    split = split.at(np.flatnonzero((split.person > 1) | (np.arange(len(split)) % 16 < 2 + split.person)))
    loader = Loader(split, 6, 0, train=True, order=order, augmentation="real")
    whole = list(loader.epoch(1))
    shares = [list(replace(loader, rank=rank, processes=processes).epoch(1)) for rank in range(processes)]
    assert [len(share) for share in shares] == [len(whole)] * processes == [len(loader)] * processes
    assert order == "mixed" or min(len(batch.rows) for batch in whole) == 2
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        own = [part for part in parts if part.weight]
        assert sorted(np.concatenate([part.rows for part in own])) == sorted(batch.rows)
        assert [part.weight for part in parts] == [
            len(batch.rows[rank::processes]) * processes / len(batch.rows) for rank in range(processes)
        ]
        assert all(len(part.rows) == len(part.images) > 0 for part in parts)
        for rank, part in enumerate(own):
            torch.testing.assert_close(part.images, batch.images[rank::processes], rtol=0, atol=1e-6)


def test_rows_are_what_they_are_said_to_be(data_folder: Path) -> None:
    for train in (True, False):
        for batch in Loader(pool_of(data_folder), 30, 0, train=train).epoch(0):
            assert isinstance(batch.rows, np.ndarray)
            assert batch.rows.dtype == np.int64


def test_without_changes_images_and_labels_are_the_files(data_folder: Path) -> None:
    """Also where a batch is made a few images at a time."""
    split = pool_of(data_folder)
    assert split.gaze is not None
    batch = next(Loader(split, 70, 0, train=True, augmentation="none").epoch(0))
    mean, std = np.array(MEAN), np.array(STD)
    expected = ((split.images(batch.rows) / 255 - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(batch.images.numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(batch.labels.numpy(), split.gaze[batch.rows])
    assert torch.equal(batch.images, normalize(torch.from_numpy(split.images(batch.rows))))


@pytest.mark.parametrize("train", [True, False])
def test_workers_change_nothing(data_folder: Path, train: bool) -> None:
    """Also where an epoch is left in the middle and the next one begins."""
    loader = Loader(pool_of(data_folder), 16, 0, train=train, augmentation="real")
    helped = replace(loader, workers=2)
    assert len(list(itertools.islice(helped.epoch(0), 1))) == 1
    for number in (0, 1):
        for one, other in zip(loader.epoch(number), helped.epoch(number), strict=True):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.labels, other.labels)
            np.testing.assert_array_equal(one.rows, other.rows)


def test_workers_stay_from_one_epoch_to_the_next(data_folder: Path) -> None:
    """Also where epochs overlap or were left in the middle; what was read stays as it is."""
    loader = Loader(pool_of(data_folder), 7, 0, train=True, order="session")
    helped = replace(loader, workers=2)
    before = {child.pid for child in multiprocessing.active_children()}
    list(helped.epoch(0))
    started = {child.pid for child in multiprocessing.active_children()} - before
    assert len(started) == 2
    next(helped.epoch(1))
    for number in (1, 2):
        for one, other in zip(list(loader.epoch(number, 1)), list(helped.epoch(number, 1)), strict=True):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.labels, other.labels)
    assert {child.pid for child in multiprocessing.active_children()} - before == started
    first, second = helped.epoch(3), helped.epoch(4)
    for mine, yours, one, other in zip(first, second, loader.epoch(3), loader.epoch(4), strict=True):
        assert torch.equal(mine.images, one.images)
        assert torch.equal(yours.images, other.images)
    del helped, first, second
    assert not {child.pid for child in multiprocessing.active_children()} - before


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_read_is_named(few_faces: Faces, workers: int, tmp_path: Path) -> None:
    WRITERS["table"](tmp_path, few_faces)
    split = open_data(tmp_path).split("all")
    (tmp_path / "images" / "5.png").unlink()
    with pytest.raises(InputError) as error:
        list(Loader(split, 4, 0, train=False, workers=workers).epoch(0))
    assert str(error.value) == f"{tmp_path / 'images' / '5.png'}: no such image"


def test_gray_is_the_mean_of_the_colors(data_folder: Path) -> None:
    """Normalized as an exported file's own preprocessing does it."""
    split = pool_of(data_folder)
    (batch,) = itertools.islice(Loader(split, 5, 0, train=False, channels=1).epoch(0), 1)
    expected = (split.images(np.arange(5)).astype(np.float64).mean(-1) / 255 - GRAY_MEAN) / GRAY_STD
    assert batch.images.shape == (5, 1, 32, 32)
    np.testing.assert_allclose(batch.images[:, 0].numpy(), expected, atol=1e-5)
