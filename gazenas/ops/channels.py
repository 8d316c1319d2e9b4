"""How many channels a runtime likes, and rounding to it.

onnxruntime keeps maps in blocks of channels and pads a count that fills none, so that 127 channels take no less than
128.
"""

from __future__ import annotations

import math

import torch

BLOCK = 16  # channels computed at once with AVX-512
SMALL_BLOCK = 8  # and without it
ALIGNED = 4  # a convolution of more channels than a block runs in blocks only where they are a multiple of this


def round_up(count: float, multiple: int, most: int | None = None) -> int:
    """``count`` and as many more as make a whole multiple, at most ``most``."""
    whole = math.ceil(count / multiple) * multiple
    return whole if most is None else min(most, whole)


def channels_at_once() -> int:
    """Channels that onnxruntime computes together on this processor: it pads every convolution to a multiple of
    these."""
    return BLOCK if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else SMALL_BLOCK
