"""Entropy coding of a file for download: LZMA (xz), which every Python unpacks. It changes bytes on disk, not memory
or time."""

from __future__ import annotations

import lzma

SUFFIX = ".xz"
FILTERS = [
    {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}
]  # bytes without neighbors' order


def encode(model: bytes) -> bytes:
    """The coded file; ``gazenas.export.runtime`` opens it as it is."""
    return lzma.compress(model, format=lzma.FORMAT_XZ, filters=FILTERS)


def decode(coded: bytes) -> bytes:
    """The file that was coded."""
    return lzma.decompress(coded, format=lzma.FORMAT_XZ)
