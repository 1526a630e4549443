"""What the C library does with memory once it is freed.

By itself glibc comes to keep freed blocks of up to 32 MiB, in pieces, for more of their kind.
Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LIBC = ctypes.CDLL(None)
GLIBC = hasattr(LIBC, "gnu_get_libc_version")


def give_large_blocks_back(large: int, kept: int) -> None:
    """From now on a block of `large` bytes goes back to the system as soon as it is freed; of
    smaller ones, no more than `kept` bytes stay at the end of the heap."""
    if GLIBC:
        LIBC.mallopt(M_MMAP_THRESHOLD, large)
        LIBC.mallopt(M_TRIM_THRESHOLD, kept)


def give_small_blocks_back() -> None:
    """All that is free now; it takes milliseconds."""
    if GLIBC:
        LIBC.malloc_trim(0)
