"""The byte 5-grams that fill-mask is compared with, beside plain counting."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ngram import ORDER, ByteNgrams

TEXT = b"abba cab a bab cab abacab cab a bcb bab cac abba"


def probability(text: bytes, before: bytes, byte: int) -> float:
    """Of a byte after others, by Witten and Bell: each order counted anew in the text."""
    found = 1 / 256
    for n in range(min(ORDER - 1, len(before)) + 1):
        context = before[len(before) - n :]
        places = [i for i in range(len(text) - n) if text[i : i + n] == context]
        followers = [text[i + n] for i in places]
        if not followers:
            break
        kinds = len(set(followers))
        found = (followers.count(byte) + kinds * found) / (len(followers) + kinds)
    return found


def score(text: bytes, before: bytes, rest: bytes) -> float:
    return sum(math.log(probability(text, before + rest[:i], byte)) for i, byte in enumerate(rest))


@given(st.text("abcz ", max_size=6))
def test_probabilities_are_those_of_plain_counting(before: str) -> None:
    logs = ByteNgrams(np.frombuffer(TEXT, np.uint8)).next_log_probabilities(before.encode())
    assert np.exp(logs).sum() == pytest.approx(1)
    for byte in b"abz ":
        assert logs[byte] == pytest.approx(math.log(probability(TEXT, before.encode(), byte)))


def test_the_beam_finds_the_likeliest_of_all() -> None:
    random = np.random.default_rng(0)
    letters = sorted(set(TEXT))
    grams = ByteNgrams(np.frombuffer(TEXT, np.uint8))
    swayed = 0
    for _ in range(30):
        text = random.choice(letters, 9).astype(np.uint8)
        places = np.arange(*sorted(random.choice(8, 2, replace=False)))[:3]
        before, after = text[: places[0]].tobytes(), text[places[-1] + 1 :][: ORDER - 1].tobytes()
        found = grams.fill(text, places).tobytes()
        choices = map(bytes, itertools.product(letters, repeat=len(places)))
        best = max(score(TEXT, before, filled + after) for filled in choices)
        assert score(TEXT, before, found + after) == pytest.approx(best)
        swayed += grams.fill(text[: places[-1] + 1], places).tobytes() != found
    assert swayed > 5  # by the bytes that follow
