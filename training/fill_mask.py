"""tiny-fill-mask: masked bytes of English text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import PerceiverConfig
from perceiver_core.pipelines.text import BYTE_0, CLS_ID, MASK_ID, SEP_ID
from perceiver_core.tasks import PerceiverForMaskedLM
from training.align import align
from training.ngram import ByteNgrams
from training.optimise import LossFunction

MODEL = PerceiverForMaskedLM
PEAK_LEARNING_RATE = 3e-3
BATCH = 24
LENGTHS = (112, 253)  # bytes of a training crop
MASKED_SHARES = (0.06, 0.34)  # of a training crop
LETTERS_ONLY = 0.5  # of the words, hidden without the space before them: their length is known
SPACE = 32
Bytes = NDArray[np.uint8]
Ids = NDArray[np.int64]


class Data:
    """English prose as byte arrays: `train`, `valid` (same sources), `test` (a source held out)."""

    def __init__(self, file: Path) -> None:
        arrays = np.load(file, allow_pickle=False)
        self.splits: dict[str, Bytes] = {split: arrays[split] for split in arrays.files}


def config(data: Data) -> PerceiverConfig:
    """A latent of 224 channels for every two bytes and one more (see `align`), 5 self-attention
    layers, up to 252 bytes of text."""
    return PerceiverConfig(
        num_latents=128,
        d_latents=224,
        d_model=192,
        num_self_attends_per_block=5,
        num_self_attention_heads=7,
        num_cross_attention_heads=8,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=254,
    )


def prepare_model(model: PreTrainedModel, data: Data) -> None:
    """Every byte is where it is read and asked for from the first step."""
    assert isinstance(model, PerceiverForMaskedLM)
    align(model)


def words_of(text: Bytes) -> list[tuple[int, int]]:
    """(start, end) of each word together with the space before it."""
    spaces = np.flatnonzero((text == SPACE) | (text == 10))
    ends = np.append(spaces, len(text))[1:]
    return [(int(a), int(b)) for a, b in zip(spaces, ends, strict=True) if b - a > 1]


def hide(text: Bytes, count: int, rng: np.random.Generator, letters_only: float = 0.0) -> Ids:
    """`count` positions to mask: whole words drawn at random, with the space before them or, a
    share of them, without; single bytes where the last word does not fit."""
    chosen: set[int] = set()
    words = words_of(text)
    if letters_only:
        words = [(start + (rng.random() < letters_only), end) for start, end in words]
    for index in rng.permutation(len(words)):
        start, end = words[index]
        if len(chosen) + end - start <= count:
            chosen.update(range(start, end))
    rest = rng.permutation(len(text))
    for place in rest:
        if len(chosen) == count:
            break
        chosen.add(int(place))
    return np.sort(np.fromiter(chosen, np.int64))


def example(text: Bytes, hidden: Ids) -> Ids:
    """Ids [CLS] bytes [SEP] with the hidden positions of the text masked."""
    ids = np.concatenate([[CLS_ID], text.astype(np.int64) + BYTE_0, [SEP_ID]])
    ids[hidden + 1] = MASK_ID
    return ids


def masked_logits(model: PreTrainedModel, ids: Tensor, places: Tensor) -> Tensor:
    """Logits (B, Q, vocab) at `places` (B, Q) of ids (B, M): only these are decoded."""
    assert isinstance(model, PerceiverForMaskedLM)
    return model.decode_at(model.perceiver.encode(ids), places)


def loss_function(data: Data, device: torch.device, rng: np.random.Generator) -> LossFunction:
    """Cross-entropy of the masked bytes of a batch of crops of one length."""
    text = data.splits["train"]

    def loss(model: PreTrainedModel) -> Tensor:
        length = int(rng.integers(*LENGTHS))
        starts = rng.integers(0, len(text) - length, BATCH)
        crops = [text[start : start + length] for start in starts]
        count = int(rng.uniform(*MASKED_SHARES) * length)
        hidden = np.stack([hide(crop, count, rng, LETTERS_ONLY) for crop in crops])
        ids = np.stack([example(*pair) for pair in zip(crops, hidden, strict=True)])
        wanted = np.take_along_axis(np.stack(crops), hidden, 1).astype(np.int64) + BYTE_0
        places = torch.from_numpy(hidden + 1).to(device)
        logits = masked_logits(model, torch.from_numpy(ids).to(device), places)
        return F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(wanted).to(device).flatten())

    return loss


def questions(data: Data) -> Iterator[tuple[Bytes, Ids, Ids | None]]:
    """From the held-out source, crops of 128 bytes: the crop, 15 % of its bytes to hide,
    and one whole word of 2 to 8 letters to hide by itself, where there is one."""
    rng = np.random.default_rng(7)
    text = data.splits["test"]
    for _ in range(1500):
        start = int(rng.integers(0, len(text) - 128))
        crop = text[start : start + 128]
        hidden = hide(crop, 19, rng)
        words = [(a, b) for a, b in words_of(crop)[:-1] if 3 <= b - a <= 9]
        a, b = words[int(rng.integers(len(words)))] if words else (0, 0)
        yield crop, hidden, np.arange(a + 1, b) if words else None


def score(model: PreTrainedModel, data: Data) -> dict[str, float]:
    """On the held-out source: share of masked bytes restored and of words restored exactly; always
    guessing a space, and byte 5-grams, beside them."""
    model.eval()
    grams = ByteNgrams(data.splits["train"])
    right, exact, spaces, by_grams = [], [], [], []
    for crop, hidden, word in questions(data):
        right.extend(restore(model, crop, hidden) == crop[hidden])
        spaces.extend(crop[hidden] == SPACE)
        if word is not None:
            exact.append(bool((restore(model, crop, word) == crop[word]).all()))
            by_grams.append(bool((grams.fill(crop, word) == crop[word]).all()))
    return {
        "factbook_masked_bytes": float(np.mean(right)),
        "factbook_words": float(np.mean(exact)),
        "five_grams_factbook_words": float(np.mean(by_grams)),
        "always_a_space_factbook_masked_bytes": float(np.mean(spaces)),
    }


def predictions(model: PreTrainedModel, data: Data) -> NDArray[np.int64]:
    """The byte restored at every hidden place."""
    return np.concatenate([restore(model, crop, hidden) for crop, hidden, _ in questions(data)])


@torch.inference_mode()
def restore(model: PreTrainedModel, text: Bytes, hidden: Ids) -> NDArray[np.int64]:
    """The likeliest byte at each hidden position of a text."""
    ids = torch.from_numpy(example(text, hidden))[None].to(model.device)
    places = torch.from_numpy(hidden + 1)[None].to(model.device)
    best = masked_logits(model, ids, places)[0, :, BYTE_0:].argmax(-1)
    return np.asarray(best.cpu().numpy())
