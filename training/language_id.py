"""tiny-language-id: the language of a text from its raw bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import PerceiverConfig
from perceiver_core.pipelines.text import BYTE_0, CLS_ID, SEP_ID
from perceiver_core.tasks import PerceiverForSequenceClassification
from training.optimise import LossFunction
from training.sources.baselines import WINDOWS, fit, windows
from training.sources.baselines import accuracy as baseline_accuracy

MODEL = PerceiverForSequenceClassification
PEAK_LEARNING_RATE = 3e-3
BATCH = 96
LENGTHS = (16, 100)  # bytes of a training crop, drawn evenly
LONG_SHARE, LONG_LENGTHS = 0.02, (128, 1022)  # a few long ones so that every position is trained
SPAN = 120  # bytes that the latents look at to begin with
Bytes = NDArray[np.uint8]


class Data:
    """Text of each language as one byte array; splits `text` (train), `valid` and `test` (UDHR)."""

    def __init__(self, file: Path) -> None:
        arrays = np.load(file, allow_pickle=False)
        self.labels = [str(label) for label in arrays["labels"]]
        self.splits = {
            split: [arrays[f"{split}_{label}"] for label in self.labels]
            for split in ("text", "valid", "test")
        }


def config(data: Data) -> PerceiverConfig:
    """40 latents of 192 channels, up to 1,022 bytes of text.

    The wide MLP after the cross-attention is where a latent turns the few bytes that its heads read
    into n-grams; depth after it matters less.
    """
    return PerceiverConfig(
        num_latents=40,
        d_latents=192,
        d_model=128,
        num_self_attends_per_block=2,
        num_self_attention_heads=6,
        num_cross_attention_heads=8,
        cross_attention_widening_factor=4,
        self_attention_widening_factor=2,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=1024,
        id2label=dict(enumerate(data.labels)),
    )


def crop(text: Bytes, length: int, rng: np.random.Generator) -> Bytes:
    """`length` bytes from a random place that starts and ends between characters (so it can be up
    to 3 bytes shorter)."""
    start = int(rng.integers(0, len(text) - length - 4))
    while text[start] & 0xC0 == 0x80:
        start += 1
    end = start + length
    while text[end] & 0xC0 == 0x80:
        end -= 1
    return text[start:end]


def rows(texts: list[Bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids (B, M) as [CLS] bytes [SEP], padded with 0, and the mask (B, M)."""
    width = max(len(text) for text in texts) + 2
    ids = np.zeros((len(texts), width), np.int64)
    for row, text in zip(ids, texts, strict=True):
        row[0], row[1 : len(text) + 1], row[len(text) + 1] = (
            CLS_ID,
            text.astype(int) + BYTE_0,
            SEP_ID,
        )
    return ids, (ids > 0).astype(np.int64)


def loss_function(data: Data, device: torch.device, rng: np.random.Generator) -> LossFunction:
    """Cross-entropy of a batch of crops of one length, languages drawn evenly."""
    texts = data.splits["text"]

    def loss(model: PreTrainedModel) -> Tensor:
        long = rng.random() < LONG_SHARE
        length = int(rng.integers(*(LONG_LENGTHS if long else LENGTHS)))
        labels = rng.integers(0, len(texts), BATCH // 4 if long else BATCH)
        ids, mask = rows([crop(texts[label], length, rng) for label in labels])
        logits = model(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)).logits
        return F.cross_entropy(logits, torch.from_numpy(labels).to(device))

    return loss


@torch.inference_mode()
def answers(model: PreTrainedModel, pieces: list[bytes]) -> NDArray[np.int64]:
    """The label number that the model gives each piece of text."""
    found = []
    for start in range(0, len(pieces), 100):
        ids, mask = rows([np.frombuffer(piece, np.uint8) for piece in pieces[start : start + 100]])
        places = (torch.from_numpy(x).to(model.device) for x in (ids, mask))
        found.append(model(*places).logits.argmax(-1).cpu().numpy())
    return np.concatenate(found)


def accuracy(model: PreTrainedModel, texts: list[Bytes], size: int) -> float:
    """Macro accuracy: the mean over languages of the share of windows named rightly."""
    right = [(answers(model, windows(t, size)) == i).mean() for i, t in enumerate(texts)]
    return float(np.mean(right))


def score(model: PreTrainedModel, data: Data) -> dict[str, float]:
    """Macro accuracy on UDHR, never trained on, and on held-out paragraphs of the sources; naive
    Bayes over byte 1- to 4-grams on the same windows beside it."""
    model.eval()
    found = {f"udhr_{n}_bytes": accuracy(model, data.splits["test"], n) for n in WINDOWS}
    valid = [text[:40_000] for text in data.splits["valid"]]
    found |= {f"held_out_paragraphs_{n}_bytes": accuracy(model, valid, n) for n in (40, 80)}
    table = fit([text.tobytes() for text in data.splits["text"]])
    for n in WINDOWS:
        tests = [windows(text, n) for text in data.splits["test"]]
        found[f"naive_bayes_udhr_{n}_bytes"] = float(baseline_accuracy(table, tests).mean())
    return found


def predictions(model: PreTrainedModel, data: Data) -> NDArray[np.int64]:
    """The label of every 80-byte window of UDHR."""
    return np.concatenate([answers(model, windows(t, 80)) for t in data.splits["test"]])
