"""Pipelines: what they refuse, what they answer, and that neighbours do not change an answer."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceiver_core import InvalidInput
from perceiver_core.pipelines import open_pipeline
from perceiver_core.pipelines.fill_mask import FillMaskInput
from perceiver_core.pipelines.image_classification import ImageClassificationInput, decode_trusted
from perceiver_core.pipelines.multimodal_autoencoding import Footage
from perceiver_core.pipelines.optical_flow import FramePair
from perceiver_core.pipelines.text_classification import TextClassificationInput
from perceiver_core.pipelines.utf8_search import k_best
from perceiver_core.tasks import load_model
from tests import tiny
from tests.server.pictures import png_of


def log_probs(n: int, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 3, (n, 256))
    return np.asarray(logits - np.log(np.exp(logits).sum(-1, keepdims=True)))


def is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


PAIRS = [bytes(pair) for pair in itertools.product(range(256), repeat=2)]
VALID = np.array([is_utf8(raw) for raw in PAIRS])


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_k_best_pairs_are_those_of_all_65536(seed, k):
    rows = log_probs(2, seed)
    rows[0, 0xC2:0xE0] += 4  # likely first bytes of two
    rows[1, 0x80:0xC0] += 4
    scores = np.where(VALID, (rows[0][:, None] + rows[1]).ravel(), -np.inf)
    best = np.argsort(-scores)[:k]
    found = k_best(rows, k)
    assert [score for _, score in found] == pytest.approx(scores[best].tolist())
    assert {raw for raw, _ in found} == {PAIRS[i] for i in best}


@given(st.integers(1, 12), st.integers(1, 100), st.integers(0, 1000))
def test_k_best_are_utf8_sorted_and_distinct(n, k, seed):
    rows = log_probs(n, seed)
    rows[:, 0x80:] += 3
    found = k_best(rows, k)
    assert len(found) == k
    assert len({raw for raw, _ in found}) == k
    assert all(len(raw) == n and is_utf8(raw) for raw, _ in found)
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(float(sum(rows[i, b] for i, b in enumerate(found[0][0]))))


@pytest.mark.parametrize("character", ["é", "€", "𐍈", "\U0010ffff", "\ud7ff", "\ue000"])
def test_k_best_finds_a_character_of_any_length(character):
    raw = character.encode()
    rows = np.full((len(raw), 256), -20.0)
    rows[np.arange(len(raw)), list(raw)] = 0.0
    assert k_best(rows, 1) == [(raw, 0.0)]


@pytest.fixture(scope="module")
def fill_mask(tmp_path_factory):
    folder = tiny.make_fill_mask(tmp_path_factory.mktemp("fill-mask"))
    return open_pipeline(folder), load_model(folder, "reference", "cpu", "auto")


def test_fill_mask_scores_are_products_of_byte_probabilities(fill_mask):
    pipeline, model = fill_mask
    item = FillMaskInput("a [MASK][MASK] é [MASK].", top_k=3)
    rows = pipeline.forward(model, pipeline.preprocess(item))
    logits = rows[0]["logits"]
    assert logits.shape == (3, 262)
    first, second = pipeline.postprocess(item, rows)
    assert [len(first), len(second)] == [3, 3]
    best = first[0]
    bytes_only = np.exp(logits[:2, 6:] - logits[:2, 6:].max(-1, keepdims=True))
    bytes_only /= bytes_only.sum(-1, keepdims=True)
    expected = math.prod(bytes_only[i, b] for i, b in enumerate(best.token_str.encode()))
    assert best.score == pytest.approx(expected, rel=1e-5)
    assert best.sequence == f"a {best.token_str} é [MASK]."
    assert second[0].sequence == f"a [MASK][MASK] é {second[0].token_str}."
    assert best.tokens == [b + 6 for b in best.token_str.encode()]
    assert best.token == best.tokens[0]


def test_only_masked_positions_are_decoded_and_equal_the_whole(fill_mask):
    import torch

    pipeline, model = fill_mask
    item = FillMaskInput("one [MASK] and [MASK][MASK]")
    row = pipeline.preprocess(item)[0]
    few = pipeline.forward(model, [row])[0]["logits"]
    with torch.no_grad():
        whole = model(torch.from_numpy(row["input_ids"])[None]).logits[0, : len(row["input_ids"])]
    assert np.allclose(few, whole.numpy()[row["input_ids"] == 3], atol=1e-5)


def test_a_target_given_twice_is_answered_once(fill_mask):
    pipeline, model = fill_mask
    answer = pipeline(model, FillMaskInput("x [MASK]", targets=("a", "b", "a")))[0]
    assert sorted(fill.token_str for fill in answer) == ["a", "b"]


def test_the_library_sees_the_picture_that_the_server_sees():
    """Upright, transparency over white, 16 bits scaled."""
    from io import BytesIO

    from PIL import Image

    from server.media.images import decode_image
    from server.media.limits import Limits

    limits = Limits(pixels=1000, seconds=1, frames=1, rows=1)

    turned, deep, clear = BytesIO(), BytesIO(), BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 8
    pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(turned, "PNG", exif=exif)
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(deep, "PNG")
    Image.new("RGBA", (4, 4), (200, 0, 0, 0)).save(clear, "PNG")
    for file in (turned, deep, clear):
        ours, theirs = decode_trusted(file.getvalue()), decode_image(file.getvalue(), limits)
        assert np.array_equal(ours, theirs)
    assert decode_trusted(turned.getvalue()).shape == (6, 3, 3)
    assert decode_trusted(deep.getvalue()).max() == 40_000 >> 8
    assert decode_trusted(clear.getvalue()).min() == 255


def test_targets_are_scored(fill_mask):
    pipeline, model = fill_mask
    answer = pipeline(model, FillMaskInput("x [MASK][MASK]", targets=("ab", "é", "zz")))[0]
    assert sorted(fill.token_str for fill in answer) == ["ab", "zz", "é"]
    assert [f.score for f in answer] == sorted((f.score for f in answer), reverse=True)


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        (FillMaskInput("nothing masked"), "no \\[MASK\\]"),
        (FillMaskInput(""), "no \\[MASK\\]"),
        (FillMaskInput("[MASK]" * 65), "65 \\[MASK\\]s: at most 64"),
        (FillMaskInput("[MASK] " * 10_000), "bytes and this model reads at most 254"),
        (FillMaskInput("x" * 300 + "[MASK]"), "301 bytes"),
        (FillMaskInput("[MASK] \ud800"), "surrogate"),
        (FillMaskInput("[MASK]", top_k=0), "top_k is 0"),
        (FillMaskInput("[MASK]", top_k=101), "top_k is 101: use 1 to 100"),
        (FillMaskInput("[MASK][MASK]", targets=("abc",)), "'abc' has 3 bytes"),
        (FillMaskInput("[MASK] [MASK][MASK]", targets=("ab",)), "1, 2"),
        (FillMaskInput("[MASK]", targets=()), "targets has 0"),
        (FillMaskInput("[MASK] " * 70, top_k=100), "70 \\[MASK\\]s with top_k 100 are 7000"),
    ],
)
def test_fill_mask_refuses(fill_mask, item, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        fill_mask[0].check(item)


def test_nothing_but_mask_is_special(fill_mask):
    row = fill_mask[0].preprocess(FillMaskInput("[CLS][PAD][MASK]\x00"))[0]["input_ids"]
    text = b"[CLS][PAD]"
    assert row.tolist() == [4, *(b + 6 for b in text), 3, 6, 5]


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        (TextClassificationInput(""), "empty"),
        (TextClassificationInput("é" * 128), "256 bytes and this model reads at most 254"),
        (TextClassificationInput("\ud800"), "surrogate"),
        (TextClassificationInput("a", top_k=6), "top_k is 6: use 1 to 5"),
        (TextClassificationInput("a", function_to_apply="relu"), "'relu'"),
    ],
)
def test_text_classification_refuses(tmp_path, item, sentence):
    pipeline = open_pipeline(tiny.make_text_classifier(tmp_path))
    with pytest.raises(InvalidInput, match=sentence):
        pipeline.check(item)


def test_classification_functions_agree(tmp_path):
    folder = tiny.make_text_classifier(tmp_path)
    pipeline, model = open_pipeline(folder), load_model(folder, "reference", "cpu", "auto")
    answers = {
        function: pipeline(model, TextClassificationInput("text", 5, function))
        for function in ("softmax", "sigmoid", "none")
    }
    orders = {tuple(label.label for label in answer) for answer in answers.values()}
    assert len(orders) == 1
    raw = np.array([label.score for label in answers["none"]])
    softmax = np.exp(raw) / np.exp(raw).sum()
    assert [label.score for label in answers["softmax"]] == pytest.approx(softmax)
    sigmoid = 1 / (1 + np.exp(-raw))
    assert [label.score for label in answers["sigmoid"]] == pytest.approx(sigmoid)


def frame_pairs(random: np.random.Generator) -> list[FramePair]:
    """32 of one tile each, some of which want 1 to 4 pixels, where kernels would change their
    order of summation."""
    sizes = random.integers(1, 17, (32, 2)).tolist()
    frames = [random.integers(0, 256, (2, h, w, 3), dtype=np.uint8) for h, w in sizes]
    regions = [(0, 0, 1, min(i, w)) if 0 < i < 5 else None for i, (_, w) in enumerate(sizes)]
    return [
        FramePair(pair[0], pair[1], region, 1 + i % 3)
        for i, (pair, region) in enumerate(zip(frames, regions, strict=True))
    ]


def clips(random: np.random.Generator) -> list[Footage]:
    """32 of at most one clip each, that want different things."""
    wants = [
        outputs
        for n in (1, 2, 3)
        for outputs in itertools.combinations(("label", "video", "audio"), n)
    ]
    return [
        Footage(
            random.integers(0, 256, (1 + i % 2, 16, 16, 3), dtype=np.uint8),
            None if i % 5 == 0 else random.normal(0, 0.3, 25 * i).astype(np.float32),
            wants[i % len(wants)],
        )
        for i in range(32)
    ]


def items_of(task: str, random: np.random.Generator) -> list:
    if task == "optical-flow":
        return frame_pairs(random)
    if task == "multimodal-autoencoding":
        return clips(random)
    if task == "image-classification":
        sizes = random.integers(1, 60, (32, 2))
        return [
            ImageClassificationInput(png_of(random.integers(0, 256, (h, w, 3), dtype=np.uint8)))
            for h, w in sizes
        ]
    texts = ["".join(map(chr, random.integers(32, 127, n))) for n in random.integers(1, 200, 32)]
    if task == "text-classification":
        return [TextClassificationInput(text) for text in texts]
    masks = random.integers(1, 5, 32)  # 1 to 4 queries: where the kernels would change their order
    return [FillMaskInput(text + "[MASK]" * n) for text, n in zip(texts, masks, strict=True)]


MAKERS = {
    "text-classification": tiny.make_text_classifier,
    "fill-mask": tiny.make_fill_mask,
    "image-classification": tiny.make_image_classifier,
    "optical-flow": tiny.make_optical_flow,
    "multimodal-autoencoding": tiny.make_multimodal,
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("task", MAKERS)
def test_answers_are_bit_identical_alone_and_in_any_batch(task, dtype, tmp_path):
    """B4, strong form: for every batch size 1 … 32, at every position, on a CPU."""
    folder = MAKERS[task](tmp_path)
    pipeline, model = open_pipeline(folder), load_model(folder, "fast", "cpu", dtype)
    rows = [
        next(iter(pipeline.preprocess(item))) for item in items_of(task, np.random.default_rng(5))
    ]
    alone = [pipeline.forward(model, [row])[0] for row in rows]
    for size in range(1, 33):
        start = 32 - size
        together = pipeline.forward(model, rows[start:])
        for found, expected in zip(together, alone[start:], strict=True):
            assert found.keys() == expected.keys()
            assert all(np.array_equal(found[name], expected[name]) for name in expected)
