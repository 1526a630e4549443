"""What simple methods score on the same data: `python -m training.sources.baselines language-id`.

Naive Bayes over byte 1- to 4-grams: the number a small network has to be compared with.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

WINDOWS = (20, 40, 80, 200)
_BUCKETS = 1 << 20
_ORDERS = (1, 2, 3, 4)
_SMOOTHING = 0.01  # of 0.001 to 2, the best on the held-out paragraphs
# Of each language. The UDHR is shorter than this; the held-out paragraphs are cut to save time.
_TEST_BYTES = 40_000


def windows(packed: NDArray[np.uint8], size: int) -> list[bytes]:
    """Consecutive pieces of at most `size` bytes, cut between characters, newlines as spaces."""
    data = packed.tobytes().replace(b"\n", b" ")
    found: list[bytes] = []
    start = 0
    while start + size <= len(data):
        end = start + size
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        found.append(data[start:end])
        start = end
    return found


def _grams(text: bytes) -> NDArray[np.int64]:
    """Bucket numbers of every 1- to 4-gram; each order has its own _BUCKETS buckets."""
    codes = np.frombuffer(text, np.uint8).astype(np.uint64)
    rows: list[NDArray[np.int64]] = []
    for order in _ORDERS:
        count = codes.size - order + 1
        if count <= 0:
            break
        value = np.zeros(count, np.uint64)
        for i in range(order):
            value = value * np.uint64(256) + codes[i : i + count]
        # Orders 1 and 2 fit their buckets as they are; the others are hashed (Fibonacci hashing).
        if order > 2:
            value = (value * np.uint64(11400714819323198485)) >> np.uint64(44)
        rows.append(value.astype(np.int64) + (order - 1) * _BUCKETS)
    return np.concatenate(rows)


def fit(texts: list[bytes]) -> NDArray[np.float32]:
    """Log probability of each bucket given each language: (languages, orders * buckets)."""
    table = np.empty((len(texts), len(_ORDERS) * _BUCKETS), np.float32)
    for row, text in zip(table, texts, strict=True):
        counts = np.bincount(_grams(text), minlength=row.size).astype(np.float32) + _SMOOTHING
        for part in np.split(counts, len(_ORDERS)):
            part /= part.sum()
        row[:] = np.log(counts)
    return table


def accuracy(table: NDArray[np.float32], tests: list[list[bytes]]) -> NDArray[np.float64]:
    """Share of windows named rightly, per language."""
    shares = []
    for truth, pieces in enumerate(tests):
        right = sum(int(table[:, _grams(piece)].sum(axis=1).argmax()) == truth for piece in pieces)
        shares.append(right / len(pieces))
    return np.array(shares)


def language_id(folder: Path) -> None:
    """Print the macro accuracy on UDHR and on the held-out paragraphs, and the worst languages."""
    with np.load(folder / "language-id.npz", allow_pickle=False) as file:
        data = {key: file[key] for key in file.files}
    labels = [str(label) for label in data["labels"]]
    table = fit([data[f"text_{tag}"].tobytes() for tag in labels])
    for key, name in (("test", "UDHR"), ("valid", "held-out LibreOffice help")):
        for size in WINDOWS:
            pieces = [windows(data[f"{key}_{tag}"][:_TEST_BYTES], size) for tag in labels]
            shares = accuracy(table, pieces)
            worst = ", ".join(f"{labels[i]} {shares[i]:.1%}" for i in shares.argsort()[:4])
            print(f"{name}, {size} bytes: {shares.mean():.2%} macro accuracy (lowest: {worst})")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["language-id"])
    parser.add_argument("--data", type=Path, default=Path(__file__).parent.parent / "data")
    language_id(parser.parse_args().data)


if __name__ == "__main__":
    main()
