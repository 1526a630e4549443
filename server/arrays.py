"""Arrays as bytes for callers: little-endian, C order; no copy where they lie so already."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray


def little_endian(array: NDArray[Any]) -> memoryview:
    """The numbers as bytes, the last index fastest."""
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return plain.reshape(-1).view(np.uint8).data


def npy(array: NDArray[Any]) -> list[bytes | memoryview]:
    """A .npy file, in parts."""
    head = io.BytesIO()
    shown = {"descr": array.dtype.newbyteorder("<").str, "fortran_order": False}
    np.lib.format.write_array_header_1_0(head, {**shown, "shape": array.shape})
    return [head.getvalue(), little_endian(array)]


def flo(flow: NDArray[np.float32]) -> list[bytes | memoryview]:
    """A Middlebury .flo file of float32 (height, width, 2), in parts."""
    height, width, _ = flow.shape
    return [b"PIEH" + struct.pack("<ii", width, height), little_endian(flow)]
