"""Text as token ids, with nothing in it special but what the caller asks for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from perceiver_core.config import PerceiverConfig
from perceiver_core.errors import CheckpointError, InvalidInput
from perceiver_core.vocabulary import utf8

MASK = "[MASK]"
MASK_ID, CLS_ID, SEP_ID, BYTE_0 = 3, 4, 5, 6  # byte b has id b + BYTE_0


def check_length(num_bytes: int, max_positions: int, markers: int = 2) -> None:
    """Room for the text and its markers. Raises InvalidInput."""
    limit = max_positions - markers
    if num_bytes > limit:
        raise InvalidInput(
            f"the text has {num_bytes} bytes and this model reads at most {limit}: shorten it, "
            "or choose another model"
        )


def check_vocabulary(config: PerceiverConfig) -> None:
    """Room for every byte. Raises CheckpointError."""
    if config.vocab_size < BYTE_0 + 256:
        raise CheckpointError(
            f"config.json has vocab_size {config.vocab_size}: bytes need {BYTE_0 + 256}"
        )


def text_ids(text: bytes) -> NDArray[np.int64]:
    """[CLS] bytes [SEP], int64 (len + 2,)."""
    return _framed(np.frombuffer(text, np.uint8).astype(np.int64) + BYTE_0)


def masked_ids(text: str, special_tokens: bool = True) -> NDArray[np.int64]:
    """As `text_ids`, each literal `[MASK]` being one masked byte; the bytes alone without
    `special_tokens`."""
    pieces = [np.frombuffer(utf8(p), np.uint8).astype(np.int64) for p in text.split(MASK)]
    parts: list[NDArray[np.int64]] = []
    for piece in pieces:
        parts += [piece + BYTE_0, np.array([MASK_ID])]
    ids = np.concatenate(parts[:-1])
    return _framed(ids) if special_tokens else ids


def mask_spans(ids: NDArray[np.int64]) -> list[tuple[int, int]]:
    """(start, end) positions of each run of masks."""
    masked = np.concatenate([[False], ids == MASK_ID, [False]])
    edges = np.flatnonzero(masked[1:] != masked[:-1])
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _framed(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[CLS_ID], ids, [SEP_ID]]).astype(np.int64)
