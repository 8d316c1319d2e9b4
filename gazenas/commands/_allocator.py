"""A setting of glibc's allocator that only makes training on a CPU faster; nothing else depends on it."""

from __future__ import annotations

import ctypes
import platform


def keep_freed_memory() -> None:
    """Has this process keep the memory that tensors leave for the next ones, where its C library is glibc.

    glibc asks the system for every tensor of more than 32 MiB and gives it back, so that each step touches gigabytes of
    new pages: a fifth of a step of ``gazenas_fast_tiny`` at full width, batch 64. The numbers are those of M_MMAP_MAX
    and M_TRIM_THRESHOLD in its ``malloc.h``.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(-4, 0)
        library.mallopt(-1, -1)
