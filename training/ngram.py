"""What a fill-mask model has to beat: byte 5-grams, looked up on both sides of what is masked.

Each order is interpolated with the next lower one by Witten and Bell's weights; a beam search fills
the masked bytes from left to right, and the known bytes after them are scored like all others.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ORDER = 5
BEAM = 100

Bytes = NDArray[np.uint8]


class ByteNgrams:
    """Counts of all sequences of 1 to ORDER bytes in a text."""

    def __init__(self, text: Bytes) -> None:
        codes = np.zeros(len(text), np.int64)
        self._grams: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for n in range(1, ORDER + 1):
            # The last n bytes as one number, the latest in its lowest digit.
            codes = codes[: len(text) - n + 1] << 8 if n > 1 else codes
            codes = codes | text[n - 1 :]
            self._grams.append(np.unique(codes, return_counts=True))
        self.next_log_probabilities = lru_cache(1 << 18)(self._next_log_probabilities)

    def _next_log_probabilities(self, before: bytes) -> NDArray[np.float64]:
        """(256,) of the byte that follows `before`, of which the last ORDER - 1 bytes count."""
        probabilities = np.full(256, 1 / 256)
        for n in range(1, ORDER + 1):
            if n - 1 > len(before):
                break
            grams, counts = self._grams[n - 1]
            prefix = int.from_bytes(before[len(before) - n + 1 :]) << 8
            start, end = np.searchsorted(grams, (prefix, prefix + 256))
            seen = end - start
            if seen == 0:
                break
            found = np.zeros(256)
            found[grams[start:end] - prefix] = counts[start:end]
            probabilities = (found + seen * probabilities) / (found.sum() + seen)
        logs: NDArray[np.float64] = np.log(probabilities)
        return logs

    def fill(self, text: Bytes, hidden: NDArray[np.int64]) -> Bytes:
        """The likeliest bytes at consecutive `hidden` positions of a text, by beam search."""
        start, end = int(hidden[0]), int(hidden[-1]) + 1
        before = text[max(0, start - ORDER + 1) : start].tobytes()
        beams = [(0.0, before)]
        for _ in hidden:
            scores = np.stack([score + self._after(beam) for score, beam in beams])
            best = np.argsort(-scores, axis=None, kind="stable")[:BEAM]
            beams = [(scores.flat[i], beams[i // 256][1] + bytes([i % 256])) for i in best.tolist()]
        after = text[end : end + ORDER - 1].tobytes()
        finished = max(beams, key=lambda beam: beam[0] + self._score(beam[1], after))
        return np.frombuffer(finished[1][len(before) :], np.uint8)

    def _after(self, text: bytes) -> NDArray[np.float64]:
        return self.next_log_probabilities(text[-ORDER + 1 :])

    def _score(self, before: bytes, after: bytes) -> float:
        return sum(float(self._after(before + after[:i])[byte]) for i, byte in enumerate(after))
