"""Batches: sessions apart, blocks whole, the same from any step on; augmentation keeps labels true."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from gazenas.data import open_data
from gazenas.data.augmentation import AUGMENTATIONS, CUTOUT, SHIFT, Changes, augment, draw_changes
from gazenas.data.loader import Loader, normalise
from gazenas.data.split import GazeSplit, join
from gazenas.data.synthetic.head import build_head
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.render import render
from gazenas.data.synthetic.scene import sample_scene
from gazenas.distributed import World


def pool_of(folder: Path) -> GazeSplit:
    return join("all", list(open_data(folder).splits.values()))


@pytest.mark.parametrize("order", ["mixed", "session"])
def test_an_epoch_can_begin_anywhere(data_folder: Path, order: str) -> None:
    loader = Loader(pool_of(data_folder), 5, 3, train=True, order=order, augmentation="strong")
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
def test_the_mirror_is_the_renderers(kind: str) -> None:
    """A mirrored photo shows the mirrored scene, whose yaw the renderer knows."""
    rng = np.random.default_rng(4)
    head, scene = build_head(sample_person(rng)), replace(sample_scene(rng), noise=0.0)
    face, mirror = render(head, scene, 64), render(head.mirrored(), scene.mirrored(), 64)
    images, gaze = normalise(torch.from_numpy(face[None])), torch.tensor(scene.gaze[None], dtype=torch.float32)
    drawn = draw_changes(1, torch.Generator().manual_seed(0), kind, 64)
    only = Changes(torch.tensor([True]), torch.ones(1), torch.zeros(1))
    if drawn.colour is not None:
        quiet = {"blur": torch.zeros(1), "noise": torch.zeros(1, 1, 64, 64), "shift": torch.zeros(1, 2).long()}
        only = replace(only, colour=torch.ones(1, 3), hole=torch.zeros(1, 3).long(), **quiet)  # type: ignore[arg-type]
    changed, turned = augment(images, gaze, only)
    assert float((changed - normalise(torch.from_numpy(mirror[None]))).abs().mean()) < 0.02
    np.testing.assert_allclose(turned[0].numpy(), scene.mirrored().gaze, atol=1e-6)


def test_strong_changes_stay_within_bounds() -> None:
    generator = torch.Generator().manual_seed(1)
    side, count = 64, 200
    drawn = draw_changes(count, generator, "strong", side)
    assert drawn.shift is not None
    assert drawn.hole is not None
    assert int(drawn.shift.abs().max()) <= round(SHIFT * side)
    assert 0 < int(drawn.hole[:, 2].max()) <= CUTOUT * side
    gaze = torch.randn(count, 2)
    images = torch.randn(count, 3, side, side)
    changed, turned = augment(images, gaze, drawn)
    assert torch.isfinite(changed).all()
    assert torch.equal(turned[:, 0], gaze[:, 0])
    assert torch.equal(turned[:, 1].abs(), gaze[:, 1].abs())
    for name in ("colour", "blur", "noise", "shift", "hole"):
        assert torch.equal(getattr(drawn.share(1, 3), name), getattr(drawn, name)[1::3])


def test_a_shift_moves_the_picture() -> None:
    images = torch.zeros(1, 3, 16, 16)
    images[:, :, 8, 8] = 1.0
    still = draw_changes(1, torch.Generator(), "strong", 16)
    quiet = {"colour": torch.ones(1, 3), "blur": torch.zeros(1), "noise": torch.zeros(1, 1, 16, 16)}
    changes = replace(
        still,
        mirrored=torch.tensor([False]),
        gain=torch.ones(1),
        offset=torch.zeros(1),
        shift=torch.tensor([[2, -3]]),
        hole=torch.zeros(1, 3).long(),
        **quiet,
    )
    moved, _ = augment(images, torch.zeros(1, 2), changes)
    assert moved[0, 0].nonzero().tolist() == [[10, 5]]


def test_shares_are_those_of_one_process(data_folder: Path) -> None:
    loader = Loader(pool_of(data_folder), 8, 0, train=True, augmentation="strong")
    whole = next(loader.epoch(0))
    for rank in range(2):
        share = next(replace(loader, world=World(rank, 2)).epoch(0))
        assert torch.equal(share.images, whole.images[rank::2])
