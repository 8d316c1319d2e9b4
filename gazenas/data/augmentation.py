"""Changes to training images that keep their labels true; of all of them only the mirror changes the gaze.

A shift moves the face in the patch by less than normalisation itself scatters it (the face centre is a mean of landmarks) and leaves
the direction of gaze as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional

AUGMENTATIONS = ("none", "plain", "strong", "real")
SHIFT, CUTOUT = 0.03, 0.25  # of the image's side, at most
NOISE = 0.08  # in units of the deviation over images, at most


@dataclass(frozen=True)
class Changes:
    """What is done to each of N images; every field's first dimension is N.

    Attributes:
        mirrored: ``(N,)`` whether.
        gain, offset: ``(N,)`` of brightness and contrast.
        colour: ``(N, 3)`` gains of the channels, or None for nothing but the above.
        blur: ``(N,)`` share of a 3 x 3 binomial filter.
        noise: ``(N, 1, S, S)`` added.
        shift: ``(N, 2)`` rows and columns.
        hole: ``(N, 3)`` row, column and side of a square that is set to the mean; side 0 for none.
    """

    mirrored: Tensor
    gain: Tensor
    offset: Tensor
    colour: Tensor | None = None
    blur: Tensor | None = None
    noise: Tensor | None = None
    shift: Tensor | None = None
    hole: Tensor | None = None

    def share(self, rank: int, size: int) -> Changes:
        """Those of every ``size``-th image from ``rank``."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: value[rank::size] for name, value in values.items() if value is not None})


def draw_changes(count: int, generator: torch.Generator, kind: str = "plain", side: int = 0) -> Changes:
    """Changes for ``count`` images; ``kind`` is one of ``AUGMENTATIONS``, ``side`` that of the images."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    mirrored = uniform(count) < 0.5
    gain, offset = 1 + 0.15 * (2 * uniform(count) - 1), 0.2 * (2 * uniform(count) - 1)
    if kind == "plain":
        return Changes(mirrored, gain, offset)
    reach = round(SHIFT * side)
    hole = torch.stack([uniform(count) * side, uniform(count) * side, uniform(count) * CUTOUT * side], 1).long()
    hole[:, 2] *= uniform(count) < 0.5
    strength = NOISE * uniform(count)[:, None, None, None]
    return Changes(
        mirrored,
        gain,
        offset,
        colour=1 + 0.1 * (2 * uniform(count, 3) - 1),
        blur=uniform(count) * (uniform(count) < 0.5),
        noise=strength * torch.randn(count, 1, side, side, generator=generator),
        shift=((2 * reach + 1) * uniform(count, 2)).long() - reach,
        hole=hole,
    )


def augment(images: Tensor, gaze: Tensor, changes: Changes) -> tuple[Tensor, Tensor]:
    """Changed images and gaze.

    Args:
        images: ``(N, 3, S, S)``, normalised.
        gaze: ``(N, 2)`` pitch and yaw in radians; a mirrored image has the opposite yaw.
        changes: for these N images.
    """
    device, side = images.device, images.shape[3]
    mirrored, gain, offset = (v.to(device) for v in (changes.mirrored, changes.gain, changes.offset))
    # Rows of pixels and channels lie together in memory: one long inner loop instead of many of three.
    rows = images.permute(0, 2, 3, 1).reshape(len(images), side, side * 3)
    bright = torch.addcmul(offset[:, None, None], rows, gain[:, None, None]).view(-1, side, side, 3)
    bright[mirrored] = bright[mirrored].flip(2)
    images = bright.permute(0, 3, 1, 2)
    if changes.colour is not None:
        images = _strong(images, changes)
    sign = torch.where(mirrored, -1.0, 1.0)
    return images.contiguous(memory_format=torch.channels_last), torch.stack([gaze[:, 0], gaze[:, 1] * sign], 1)


def _strong(images: Tensor, changes: Changes) -> Tensor:
    """Shift, blur, colour, noise, cutout, in this order."""
    device, side = images.device, images.shape[3]
    shift, blur, colour, noise, hole = (
        value.to(device)
        for value in (changes.shift, changes.blur, changes.colour, changes.noise, changes.hole)
        if value is not None
    )
    place = torch.arange(side, device=device)
    rows = (place - shift[:, :1]).clamp(0, side - 1)
    columns = (place - shift[:, 1:]).clamp(0, side - 1)
    which = torch.arange(len(images), device=device)[:, None, None]
    images = images[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    line = torch.tensor([0.25, 0.5, 0.25], device=device)
    kernel = (line[:, None] * line).expand(3, 1, 3, 3)
    smooth = functional.conv2d(functional.pad(images, (1, 1, 1, 1), "replicate"), kernel, groups=3)
    images = torch.lerp(images, smooth, blur[:, None, None, None]) * colour[:, :, None, None] + noise
    inside = (place >= hole[:, :1]) & (place < hole[:, :1] + hole[:, 2:])
    across = (place >= hole[:, 1:2]) & (place < hole[:, 1:2] + hole[:, 2:])
    return images.masked_fill((inside[:, :, None] & across[:, None, :])[:, None], 0.0)
