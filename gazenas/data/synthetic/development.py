"""From light to an 8-bit picture, as cameras, scanners and web sites make one."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from gazenas.data.arrays import Floats

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True)
class Development:
    """How a picture is developed; lengths in pixels at 224.

    Attributes:
        level: linear brightness that the middle of the picture is brought to; ``adapts`` says how far, 0 to 1.
        cast: ``(3,)`` gains of the channels.
        contrast: slope of the tone curve at its middle, and ``black`` where black lies.
        saturation: 0 for gray.
        spread: deviation of the lens's blur.
        sharpness: of an unsharp mask.
        grain: deviation in units of the 8-bit range, and ``grain_size`` its deviation in pixels of the picture.
        quality: of JPEG, 0 for none.
    """

    level: float
    adapts: float
    cast: tuple[float, float, float]
    contrast: float
    black: float
    saturation: float
    spread: float
    sharpness: float
    grain: float
    grain_size: float
    quality: int


def sample_development(rng: np.random.Generator) -> Development:
    """Draws one: most pictures are sharp and clean, some gray, some bad."""
    warm, green = rng.normal(0, 0.13), rng.normal(0, 0.04)
    return Development(
        level=float(np.exp(rng.normal(np.log(0.26), 0.4))),
        adapts=float(rng.uniform(0.5, 1.0)),
        cast=(float(np.exp(warm)), float(np.exp(green)), float(np.exp(-warm))),
        contrast=float(np.exp(rng.normal(0.15, 0.22))),
        black=float(rng.normal(0, 0.025)),
        saturation=0.0 if rng.uniform() < 0.15 else float(rng.uniform(0.6, 1.5)),
        spread=float(rng.uniform(0, 1.2) if rng.uniform() < 0.8 else rng.uniform(1.2, 4.0)),
        sharpness=float(rng.uniform(0, 1.2) if rng.uniform() < 0.5 else 0.0),
        grain=float(rng.exponential(2.5)),
        grain_size=float(rng.uniform(0, 0.8)),
        quality=int(rng.integers(35, 98)) if rng.uniform() < 0.6 else 0,
    )


def develop(light: Floats, how: Development, seed: int, unit: float) -> NDArray[np.uint8]:
    """``(S, S, 3)`` RGB of ``(S, S, 3)`` linear light.

    Args:
        light: from the renderer.
        how: parameters.
        seed: of the grain.
        unit: pixels of this picture a pixel at 224.
    """
    size = len(light)
    inner = light[size // 4 : -(size // 4), size // 4 : -(size // 4)]
    mean = float((inner @ LUMA).mean())
    gain = (how.level / max(mean, 1e-3)) ** how.adapts
    sigma = how.spread * unit
    if sigma > 0.15:
        light = ndimage.gaussian_filter(light, (sigma, sigma, 0), mode="nearest")
    tones: Floats = np.clip(light * (np.float32(gain) * np.array(how.cast, np.float32)), 0, 4) ** np.float32(1 / 2.2)
    tones = _curve(tones, how.contrast, how.black)
    gray = (tones @ LUMA)[..., None]
    tones = gray + np.float32(how.saturation) * (tones - gray)
    if how.sharpness:
        around = ndimage.gaussian_filter(tones, (0.4 + unit, 0.4 + unit, 0), mode="nearest")
        tones = tones + np.float32(how.sharpness) * (tones - around)
    pixels = np.clip(np.rint(255 * tones + _grain(how, seed, size)), 0, 255).astype(np.uint8)
    return _compressed(pixels, how.quality) if how.quality else pixels


def _curve(tones: Floats, contrast: float, black: float) -> Floats:
    """An S about the middle gray that bends toward black and white instead of clipping."""
    away = np.float32(contrast) * (tones - np.float32(0.5))
    bent: Floats = np.float32(0.5) + np.tanh(1.7 * away) / np.float32(1.7 * np.tanh(1.0) / 0.85) + np.float32(black)
    return bent


def _grain(how: Development, seed: int, size: int) -> Floats:
    rng = np.random.default_rng(seed)
    field: Floats = rng.standard_normal((size, size, 1), dtype=np.float32) + 0.4 * rng.standard_normal(
        (size, size, 3), dtype=np.float32
    )
    if how.grain_size > 0.3:
        field = ndimage.gaussian_filter(field, (how.grain_size, how.grain_size, 0))
        field /= field.std()
    return np.float32(how.grain) * field


def _compressed(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=quality)
    stored.seek(0)
    return np.asarray(Image.open(stored), np.uint8)
