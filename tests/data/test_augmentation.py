"""Augmentation keeps labels true: against the renderer, against scipy's resampling, against the vector formula."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from gazenas.data.arrays import Floats
from gazenas.data.augmentation import (
    AUGMENTATIONS,
    CUTOUT,
    FOUND_ROLL,
    FOUND_SCALE,
    FOUND_SHIFT,
    SHIFT,
    Changes,
    augment,
    draw_changes,
)
from gazenas.data.loader import normalize, to_floats
from gazenas.data.synthetic.head import HeadShape, build_head
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.rendering import render
from gazenas.data.synthetic.scene import Scene, sample_scene
from gazenas.gaze import angles_to_vectors, angular_error, vectors_to_angles

SIDE = 64


def quiet(count: int, **more: torch.Tensor) -> Changes:
    """Changes of every field that change nothing, but for those given."""
    none = Changes(torch.zeros(count, dtype=torch.bool), torch.ones(count), torch.zeros(count))
    return replace(none, **more)


def still(count: int = 1, **more: torch.Tensor) -> Changes:
    """The same with a roll of 0, so that pictures are resampled."""
    none = {"roll": torch.zeros(count), "scale": torch.ones(count), "shift": torch.zeros(count, 2)}
    return quiet(count, **none | more)


def turn(angle: float) -> Floats:
    """About the camera's axis: x (right) toward y (down)."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


@dataclass(frozen=True)
class RolledScene(Scene):
    """What a camera sees that is rolled the other way: everything turned about its axis."""

    turned: float = 0.0

    @property
    def rotation(self) -> Floats:
        rolled: Floats = turn(self.turned) @ super().rotation
        return rolled


def rolled(scene: Scene, angle: float) -> RolledScene:
    lamps = {"light": turn(angle) @ scene.light, "fill": turn(angle) @ scene.fill}
    return RolledScene(**vars(scene) | lamps, turned=angle)


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> tuple[HeadShape, Scene]:
    """A person before an even background, without a neck, which the renderer keeps upright in the picture."""
    monkeypatch.setattr(sys.modules[render.__module__], "draw_neck", lambda *words: None)
    rng = np.random.default_rng(4)
    head, scene = build_head(sample_person(rng)), sample_scene(rng)
    target = 900 * angles_to_vectors(np.array([0.25, -0.35]))
    return head, replace(
        scene, noise=0.0, background=np.full((2, 2, 3), 0.3, np.float32), head_pose=(0.2, 0.3), target=target
    )


def picture(head: HeadShape, scene: Scene) -> torch.Tensor:
    return normalize(torch.from_numpy(render(head, scene, SIDE)[None]))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [-4.0, 3.0])
def test_a_roll_is_the_renderers(person: tuple[HeadShape, Scene], degrees: float, mirrored: bool) -> None:
    """A picture rolled by us shows the rolled scene, mirrored before where it is mirrored, whose gaze the renderer
    knows."""
    head, scene = person
    angle = math.radians(degrees)
    shown = (head.mirrored(), scene.mirrored()) if mirrored else (head, scene)
    expected, other = (picture(shown[0], rolled(shown[1], roll)) for roll in (angle, -angle))
    gaze = torch.tensor(scene.gaze[None], dtype=torch.float32)
    changes = still(roll=torch.tensor([angle]), mirrored=torch.tensor([mirrored]))
    changed, turned = augment(picture(head, scene), gaze, changes)
    np.testing.assert_allclose(turned.numpy()[0], rolled(shown[1], angle).gaze, atol=1e-6)
    # Inside: at the rim a rolled picture repeats pixels where the renderer goes on.
    middle = (..., slice(6, -6), slice(6, -6))
    misfit = float((changed - expected)[middle].abs().mean())
    assert misfit < 0.06
    assert misfit < 0.4 * float((changed - other)[middle].abs().mean())


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_the_mirror_is_the_renderers(kind: str) -> None:
    """A mirrored photo shows the mirrored scene, whose yaw the renderer knows."""
    rng = np.random.default_rng(4)
    head, scene = build_head(sample_person(rng)), replace(sample_scene(rng), noise=0.0)
    gaze = torch.tensor(scene.gaze[None], dtype=torch.float32)
    drawn = draw_changes(1, torch.Generator().manual_seed(0), kind, SIDE)
    only = still(mirrored=torch.tensor([True])) if drawn.roll is not None else quiet(1, mirrored=torch.tensor([True]))
    if drawn.color is not None:
        parts = {"blur": torch.zeros(1), "noise": torch.zeros(1, 1, SIDE, SIDE), "shift": torch.zeros(1, 2).long()}
        only = replace(only, color=torch.ones(1, 3), hole=torch.zeros(1, 3).long(), **parts)  # type: ignore[arg-type]
    changed, turned = augment(picture(head, scene), gaze, only)
    assert float((changed - picture(head.mirrored(), scene.mirrored())).abs().mean()) < 0.02
    np.testing.assert_allclose(turned[0].numpy(), scene.mirrored().gaze, atol=1e-6)


def test_resampling_is_scipys() -> None:
    """Pixel by pixel, bilinear with edge pixels repeated, for the whole of what is drawn."""
    count, generator = 12, torch.Generator().manual_seed(2)
    images, drawn = torch.rand(count, 3, SIDE, SIDE), draw_changes(count, generator, "real", SIDE)
    assert drawn.roll is not None
    assert drawn.scale is not None
    assert drawn.shift is not None
    changed, _ = augment(images, torch.zeros(count, 2), drawn)
    middle = np.full(2, (SIDE - 1) / 2)
    for n in range(count):
        picture = images[n].numpy()[..., ::-1] if drawn.mirrored[n] else images[n].numpy()
        cosine, sine = math.cos(float(drawn.roll[n])), math.sin(float(drawn.roll[n]))
        back = np.array([[cosine, -sine], [sine, cosine]]) / float(drawn.scale[n])  # of rows and columns
        offset = middle - back @ (middle + drawn.shift[n].double().numpy())
        for channel in range(3):
            moved = ndimage.affine_transform(
                picture[channel].astype(float), back, offset, order=1, mode="nearest", output=float
            )
            expected = moved * float(drawn.gain[n]) + float(drawn.offset[n])
            np.testing.assert_allclose(changed[n, channel].numpy(), expected, atol=1e-4)


def test_labels_turn_by_the_vector_formula() -> None:
    generator = torch.Generator().manual_seed(3)
    drawn = draw_changes(300, generator, "real", 8)
    gaze = torch.rand(300, 2, generator=generator) * 2 - 1
    _, turned = augment(torch.zeros(300, 3, 8, 8), gaze, drawn)
    assert drawn.roll is not None
    for n in range(300):
        mirror = np.diag([-1.0 if drawn.mirrored[n] else 1.0, 1, 1])
        vector = turn(float(drawn.roll[n])) @ mirror @ angles_to_vectors(gaze[n].double().numpy())
        np.testing.assert_allclose(turned[n].numpy(), vectors_to_angles(vector), atol=1e-5)
    assert (
        float(angular_error(turned, gaze * torch.where(drawn.mirrored[:, None], torch.tensor([1.0, -1.0]), 1)).max())
        > 2
    )


def test_a_direction_along_the_axis_stays() -> None:
    _, turned = augment(torch.zeros(1, 3, 8, 8), torch.zeros(1, 2), still(roll=torch.tensor([0.07])))
    assert turned.abs().max() < 1e-7


def test_real_changes_fill_their_bounds() -> None:
    drawn = draw_changes(2000, torch.Generator().manual_seed(1), "real", SIDE)
    assert drawn.roll is not None
    assert drawn.scale is not None
    assert drawn.shift is not None
    for values, limit in ((drawn.roll, FOUND_ROLL), (drawn.scale - 1, FOUND_SCALE), (drawn.shift, FOUND_SHIFT * SIDE)):
        assert 0.98 * limit < float(values.max()) <= limit * (1 + 1e-6)
        assert -0.98 * limit > float(values.min()) >= -limit * (1 + 1e-6)
        assert abs(float(values.mean())) < 0.05 * limit
    for name in ("roll", "scale", "shift", "mirrored"):
        assert torch.equal(getattr(drawn.share(1, 3), name), getattr(drawn, name)[1::3])


def test_a_still_picture_stays() -> None:
    images, gaze = torch.rand(2, 3, 16, 16), torch.rand(2, 2)
    changed, turned = augment(images, gaze, still(2))
    torch.testing.assert_close(changed, images, rtol=0, atol=1e-5)
    torch.testing.assert_close(turned, gaze)


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_images_are_left_as_they_were_and_made_in_parts(kind: str) -> None:
    """``augment`` overwrites nothing; a batch that is made a few images at a time is that of one piece."""
    side, count = 150, 9  # three images at a time
    pixels, gaze = torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8), torch.rand(count, 2)
    drawn = draw_changes(count, torch.Generator().manual_seed(0), kind, side)
    images = normalize(pixels)
    before = images.clone()
    whole, turned = augment(images, gaze, drawn)
    assert torch.equal(images, before)
    parts, labels = to_floats(pixels, gaze, drawn)
    assert torch.equal(parts, whole)
    torch.testing.assert_close(labels, turned, rtol=0, atol=1e-6)
    assert parts.is_contiguous(memory_format=torch.channels_last)


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
    for name in ("color", "blur", "noise", "shift", "hole"):
        assert torch.equal(getattr(drawn.share(1, 3), name), getattr(drawn, name)[1::3])


def test_a_shift_moves_the_picture() -> None:
    images = torch.zeros(1, 3, 16, 16)
    images[:, :, 8, 8] = 1.0
    still = draw_changes(1, torch.Generator(), "strong", 16)
    quiet = {"color": torch.ones(1, 3), "blur": torch.zeros(1), "noise": torch.zeros(1, 1, 16, 16)}
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
