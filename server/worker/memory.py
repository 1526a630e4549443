"""What the C library does with the temporaries of a forward pass once they are freed.

By itself glibc comes to keep freed blocks of up to 32 MiB, in pieces: a large image then takes a
tenth more memory than one of its tiles.  Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGE = 2 * 2**20  # numbers in a block: temporaries of a published flow tile, not of small models
KEPT = 32 * 2**20  # bytes of freed small blocks, which small models live on
LONG_S = 0.2  # beside a pass as long as this, giving small blocks back takes no time
LIBC = ctypes.CDLL(None)
GLIBC = hasattr(LIBC, "gnu_get_libc_version")


def give_large_blocks_back(dtype: torch.dtype) -> None:
    """From now on a block of `LARGE` numbers goes back to the system as soon as it is freed."""
    if GLIBC:
        LIBC.mallopt(M_MMAP_THRESHOLD, LARGE * dtype.itemsize)
        LIBC.mallopt(M_TRIM_THRESHOLD, KEPT)


def give_small_blocks_back(pass_s: float) -> None:
    """The freed blocks of a forward pass that took so many seconds, where it was a long one."""
    if GLIBC and pass_s > LONG_S:
        LIBC.malloc_trim(0)
