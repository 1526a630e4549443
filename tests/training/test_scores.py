"""What the scores of text and of sound are made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.fill_mask import hide, words_of
from training.multimodal_autoencoding import decibels
from training.sources.baselines import accuracy, fit, windows


def bytes_of(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def test_words_come_with_the_space_before_them() -> None:
    assert words_of(bytes_of("cut off a word\nand  more")) == [
        (3, 7),
        (7, 9),
        (9, 14),
        (14, 18),
        (19, 24),
    ]


@given(st.text("abc \n", min_size=1, max_size=60), st.data())
def test_as_many_bytes_are_hidden_as_are_asked(text: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(text)))
    hidden = hide(bytes_of(text), count, np.random.default_rng(0))
    assert len(hidden) == count
    assert sorted(set(hidden.tolist())) == hidden.tolist()
    assert count == 0 or 0 <= hidden[0] <= hidden[-1] < len(text)


@pytest.mark.parametrize("seed", range(5))
def test_whole_words_are_hidden_and_single_bytes_only_for_the_rest(seed: int) -> None:
    text = bytes_of(" cat" * 20)
    hidden = set(hide(text, 18, np.random.default_rng(seed)).tolist())
    whole = [start for start, end in words_of(text) if hidden >= set(range(start, end))]
    assert len(whole) == 4


def test_letters_alone_may_be_hidden() -> None:
    text = bytes_of(" cat" * 20)
    hidden = hide(text, 18, np.random.default_rng(0), 1.0)
    assert bytes(text[hidden]) == b"cat" * 6


def test_decibels_are_of_each_clip() -> None:
    wanted = torch.zeros(3, 4, 5)
    found = torch.stack([torch.full((4, 5), value) for value in (0.1, 1.0, 0.0)])
    assert decibels(wanted, found, 1.0).tolist() == pytest.approx([20, 0, 80])
    power = torch.tensor([1.0, 100.0, 1e-8])
    assert decibels(wanted, found, power).tolist() == pytest.approx([20, 20, 0], abs=1e-5)


def test_windows_are_cut_between_characters() -> None:
    pieces = windows(bytes_of("añb\nñña"), 3)
    assert [piece.decode() for piece in pieces] == ["añ", "b ", "ñ", "ña"]


def test_naive_bayes_tells_languages_apart() -> None:
    table = fit([b"abab cab ba" * 9, b"xyx zyz xx" * 9])
    assert accuracy(table, [[b"aba", b"b c", b"xzx"], [b"zyx", b"yz "]]).tolist() == [2 / 3, 1]
