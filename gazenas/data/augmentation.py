"""Changes to training images that keep their labels true: what a mirror, a roll, a scale and a shift of the picture do
to labels, their task says.

A shift or a scale moves the face in the patch as landmarks that are a little off do in normalization, and leaves the
direction of gaze as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task

SHIFT, CUTOUT = 0.03, 0.25  # of the image's side, at most
NOISE = 0.08  # in units of the deviation over images, at most
FOUND_SHIFT, FOUND_SCALE, FOUND_ROLL = 0.04, 0.1, math.radians(4)  # at most: of the side, relative, radians


class Rules(Protocol):
    """What changes of an image do to numbers that belong to it, as ``gazenas.tasks.task.Task`` says."""

    @property
    def mirror(self) -> Callable[[Tensor, int], Tensor]:
        """Of a mirrored image."""
        ...

    @property
    def roll(self) -> Callable[[Tensor, Tensor, int], Tensor]:
        """Of one that is turned."""
        ...

    @property
    def place(self) -> Callable[[Tensor, Tensor, Tensor, int], Tensor]:
        """Of one that is scaled and shifted."""
        ...


@dataclass(frozen=True)
class Changes:
    """What is done to each of N images; every field's first dimension is N.

    Attributes:
        mirrored: ``(N,)`` whether.
        gain, offset: ``(N,)`` of brightness and contrast.
        color: ``(N, 3)`` gains of the channels, or None for nothing but the above.
        blur: ``(N,)`` share of a 3 x 3 binomial filter.
        noise: ``(N, 1, S, S)`` added.
        shift: ``(N, 2)`` rows and columns; whole pixels, but with ``roll``.
        hole: ``(N, 3)`` row, column and side of a square that is set to the mean; side 0 for none.
        roll: ``(N,)`` radians about the image's middle, clockwise as seen, after the mirror and before the shift.
        scale: ``(N,)`` factor on the picture about the image's middle; goes with ``roll``.
    """

    mirrored: Tensor
    gain: Tensor
    offset: Tensor
    color: Tensor | None = None
    blur: Tensor | None = None
    noise: Tensor | None = None
    shift: Tensor | None = None
    hole: Tensor | None = None
    roll: Tensor | None = None
    scale: Tensor | None = None

    def at(self, rows: slice) -> Changes:
        """Those of some of the images."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: value[rows] for name, value in values.items() if value is not None})

    def share(self, rank: int, size: int) -> Changes:
        """Those of every ``size``-th image from ``rank``."""
        return self.at(slice(rank, None, size))


def _uniform(generator: torch.Generator, limit: float, *shape: int) -> Tensor:
    """Between ``-limit`` and ``limit``."""
    return limit * (2 * torch.rand(*shape, generator=generator) - 1)


def no_changes(count: int, generator: torch.Generator, side: int) -> Changes:
    """Images and labels as they are."""
    return Changes(torch.zeros(count, dtype=torch.bool), torch.ones(count), torch.zeros(count))


def plain_changes(count: int, generator: torch.Generator, side: int) -> Changes:
    """Mirror and brightness."""
    mirrored = torch.rand(count, generator=generator) < 0.5
    return Changes(mirrored, 1 + _uniform(generator, 0.15, count), _uniform(generator, 0.2, count))


def strong_changes(count: int, generator: torch.Generator, side: int) -> Changes:
    """Color, blur, noise, shifts and cutouts as well."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    plain, reach = plain_changes(count, generator, side), round(SHIFT * side)
    hole = torch.stack([uniform(count) * side, uniform(count) * side, uniform(count) * CUTOUT * side], 1).long()
    hole[:, 2] *= uniform(count) < 0.5
    strength = NOISE * uniform(count)[:, None, None, None]
    return replace(
        plain,
        color=1 + _uniform(generator, 0.1, count, 3),
        blur=uniform(count) * (uniform(count) < 0.5),
        noise=strength * torch.randn(count, 1, side, side, generator=generator),
        shift=((2 * reach + 1) * uniform(count, 2)).long() - reach,
        hole=hole,
    )


def real_changes(count: int, generator: torch.Generator, side: int) -> Changes:
    """Mirror, brightness, and what landmarks found on photographs do to a normalized patch: scale, shift and roll."""
    return replace(
        plain_changes(count, generator, side),
        scale=1 + _uniform(generator, FOUND_SCALE, count),
        shift=_uniform(generator, FOUND_SHIFT * side, count, 2),
        roll=_uniform(generator, FOUND_ROLL, count),
    )


AUGMENTATIONS: dict[str, Callable[[int, torch.Generator, int], Changes]] = {
    "none": no_changes,
    "plain": plain_changes,
    "strong": strong_changes,
    "real": real_changes,
}


def draw_changes(count: int, generator: torch.Generator, kind: str = "plain", side: int = 0) -> Changes:
    """Changes for ``count`` images; ``kind`` is a key of ``AUGMENTATIONS``, ``side`` that of the images."""
    return AUGMENTATIONS[kind](count, generator, side)


def augment(images: Tensor, labels: Tensor, changes: Changes, task: Task = GAZE) -> tuple[Tensor, Tensor]:
    """Changed images and labels.

    Args:
        images: ``(N, 3, S, S)``, normalized.
        labels: ``(N, outputs)`` of the task.
        changes: for these N images.
        task: whose labels; a mirrored image has the opposite yaw, for example, a rolled one a rolled gaze.
    """
    device, side = images.device, images.shape[3]
    mirrored, gain, offset = (v.to(device) for v in (changes.mirrored, changes.gain, changes.offset))
    # Rows of pixels and channels lie together in memory: one long inner loop instead of many of three.
    rows = images.permute(0, 2, 3, 1).reshape(len(images), side, side * 3)
    bright = torch.addcmul(offset[:, None, None], rows, gain[:, None, None]).view(-1, side, side, 3)
    bright[mirrored] = bright[mirrored].flip(2)
    images = bright.permute(0, 3, 1, 2)
    if changes.roll is not None:
        images = _moved(images, changes)
    elif changes.color is not None:
        images = _strong(images, changes)
    return images.contiguous(memory_format=torch.channels_last), move_labels(labels, changes, task, side)


def move_labels(labels: Tensor, changes: Changes, rules: Rules, side: int) -> Tensor:
    """``(N, k)`` numbers of changed images from those of the images.

    Args:
        labels: of a task, or an input of a network.
        changes: of these N images.
        rules: what each change does to them.
        side: of the images in pixels.
    """
    device, shift = labels.device, changes.shift
    labels = torch.where(changes.mirrored.to(device)[:, None], rules.mirror(labels, side), labels)
    if changes.roll is not None:
        labels = rules.roll(labels, changes.roll.to(device), side)
    if shift is None:
        return labels
    scale = torch.ones(len(labels)) if changes.scale is None else changes.scale
    return rules.place(labels, scale.to(device), shift.to(device), side)


def _moved(images: Tensor, changes: Changes) -> Tensor:
    """Scaled and rolled about the middle, then shifted: bilinear, with edge pixels repeated outside."""
    device, side = images.device, images.shape[3]
    roll, scale, shift = (
        value.to(device) for value in (changes.roll, changes.scale, changes.shift) if value is not None
    )
    line = torch.arange(side, device=device) + 0.5 - side / 2
    down, across = (line - shift[:, axis, None] for axis in (0, 1))
    # Where each pixel comes from, with the image between -1 and 1: turned back and scaled back.
    cosine, sine = (part[:, None] * 2 / side for part in (roll.cos() / scale, roll.sin() / scale))
    column = (cosine * across)[:, None, :] + (sine * down)[:, :, None]
    row = (cosine * down)[:, :, None] - (sine * across)[:, None, :]
    grid = torch.stack([column, row], 3)
    return functional.grid_sample(images.contiguous(), grid, padding_mode="border", align_corners=False)


def _strong(images: Tensor, changes: Changes) -> Tensor:
    """Shift, blur, color, noise, cutout, in this order."""
    device, side = images.device, images.shape[3]
    shift, blur, color, noise, hole = (
        value.to(device)
        for value in (changes.shift, changes.blur, changes.color, changes.noise, changes.hole)
        if value is not None
    )
    pixel = torch.arange(side, device=device)
    rows = (pixel - shift[:, :1]).clamp(0, side - 1)
    columns = (pixel - shift[:, 1:]).clamp(0, side - 1)
    which = torch.arange(len(images), device=device)[:, None, None]
    images = images[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    line = torch.tensor([0.25, 0.5, 0.25], device=device)
    kernel = (line[:, None] * line).expand(3, 1, 3, 3)
    smooth = functional.conv2d(functional.pad(images, (1, 1, 1, 1), "replicate"), kernel, groups=3)
    images = torch.lerp(images, smooth, blur[:, None, None, None]) * color[:, :, None, None] + noise
    inside = (pixel >= hole[:, :1]) & (pixel < hole[:, :1] + hole[:, 2:])
    across = (pixel >= hole[:, 1:2]) & (pixel < hole[:, 1:2] + hole[:, 2:])
    return images.masked_fill((inside[:, :, None] & across[:, None, :])[:, None], 0.0)
