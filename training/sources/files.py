"""The shape of the data files: lines of UTF-8 packed into .npz, and which lines are held out."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def held_out(text: str, share: float) -> bool:
    """Whether a paragraph belongs to the validation part.

    The text alone decides, so a change to the cleaning never moves a paragraph to the other part.
    """
    return zlib.crc32(text.encode()) % 10_000 < share * 10_000


def join_lines(texts: list[str]) -> NDArray[np.uint8]:
    """Paragraphs as one uint8 array: UTF-8, joined by newline bytes."""
    return np.frombuffer("\n".join(texts).encode(), np.uint8)


def split_lines(packed: NDArray[np.uint8]) -> list[str]:
    """The paragraphs that join_lines packed."""
    return packed.tobytes().decode().split("\n")


def save(path: Path, arrays: Mapping[str, NDArray[np.uint8] | NDArray[np.str_]]) -> None:
    """Write a compressed .npz in one step, so that a reader never meets half a file."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    np.savez_compressed(unfinished, allow_pickle=False, **arrays)
    unfinished.replace(path)
