"""The exact k best byte strings that are valid UTF-8, from independent byte probabilities."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# States of a UTF-8 reader, named by what must follow (Unicode 15, table 3-7). Only in START may a
# string end.
START, ONE, TWO, AFTER_E0, AFTER_ED, AFTER_F0, THREE, AFTER_F4 = range(8)

# (from, first byte, last byte, to)
TRANSITIONS = (
    (START, 0x00, 0x7F, START),
    (START, 0xC2, 0xDF, ONE),
    (START, 0xE0, 0xE0, AFTER_E0),
    (START, 0xE1, 0xEC, TWO),
    (START, 0xED, 0xED, AFTER_ED),
    (START, 0xEE, 0xEF, TWO),
    (START, 0xF0, 0xF0, AFTER_F0),
    (START, 0xF1, 0xF3, THREE),
    (START, 0xF4, 0xF4, AFTER_F4),
    (ONE, 0x80, 0xBF, START),
    (TWO, 0x80, 0xBF, ONE),
    (AFTER_E0, 0xA0, 0xBF, ONE),
    (AFTER_ED, 0x80, 0x9F, ONE),
    (AFTER_F0, 0x90, 0xBF, TWO),
    (THREE, 0x80, 0xBF, TWO),
    (AFTER_F4, 0x80, 0x8F, TWO),
)

Beam = tuple[NDArray[np.float64], NDArray[np.uint8]]  # scores (m,), strings (m, length so far)


def k_best(log_probs: NDArray[np.float64], k: int) -> list[tuple[bytes, float]]:
    """log_probs (n, 256) -> up to k (string of n bytes, sum of its log probabilities), best first.

    Dynamic programming over the reader's states: the k best strings that end in a state extend only
    strings among the k best of the state before, so nothing is lost.
    """
    beams: dict[int, Beam] = {START: (np.zeros(1), np.empty((1, 0), np.uint8))}
    for row in log_probs:
        grown: dict[int, list[Beam]] = {}
        order = np.argsort(-row, kind="stable").astype(np.uint8)
        for source, first, last, target in TRANSITIONS:
            if source in beams:
                allowed = order[(order >= first) & (order <= last)][:k]
                grown.setdefault(target, []).append(_extend(beams[source], row, allowed, k))
        beams = {state: _best(parts, k) for state, parts in grown.items()}
    scores, strings = beams[START]
    return [(s.tobytes(), float(score)) for s, score in zip(strings, scores, strict=True)]


def _extend(beam: Beam, row: NDArray[np.float64], allowed: NDArray[np.uint8], k: int) -> Beam:
    """The k best of a beam's strings, each followed by one of the allowed bytes.

    Both are sorted best first, so (i + 1)(j + 1) - 1 other pairs are no worse than pair (i, j):
    where that is k or more, the pair can be left out.
    """
    scores, strings = beam
    i, j = _leading_pairs(k)
    there = (i < len(scores)) & (j < len(allowed))
    i, j = i[there], j[there]
    grown = scores[i] + row[allowed[j]]
    best = np.argsort(-grown, kind="stable")[:k]
    return grown[best], np.concatenate([strings[i[best]], allowed[j[best], None]], axis=1)


@lru_cache(maxsize=128)
def _leading_pairs(k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs (i, j) with (i + 1)(j + 1) <= k, at most k (ln k + 1) of k * k."""
    i, j = np.indices((k, k)) + 1
    return tuple(np.nonzero(i * j <= k))  # type: ignore[return-value]  # of two dimensions


def _best(parts: list[Beam], k: int) -> Beam:
    scores = np.concatenate([part[0] for part in parts])
    strings = np.concatenate([part[1] for part in parts])
    order = np.argsort(-scores, kind="stable")[:k]
    return scores[order], strings[order]
