"""Masked bytes of a text to their likeliest strings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceiver_core.config import PerceiverConfig
from perceiver_core.errors import InvalidInput
from perceiver_core.pipelines.base import Pipeline, Row, check_top_k, softmax
from perceiver_core.pipelines.text import (
    BYTE_0,
    MASK,
    check_length,
    check_vocabulary,
    mask_spans,
    masked_ids,
)
from perceiver_core.pipelines.utf8_search import k_best
from perceiver_core.vocabulary import utf8

DEFAULT_TOP_K, MAX_TOP_K = 5, 100
MAX_SPAN = 64
MAX_SEARCHED = 6400  # masks x top_k: what the search for the best fillings costs
RUN_OF_MASKS = re.compile(rf"(?:{re.escape(MASK)})+")


@dataclass(frozen=True)
class FillMaskInput:
    """A text in which each `[MASK]` stands for one byte and a run of them is one span; how many
    fillings (default 5, at most 100), or the strings to score.

    `special_tokens`: the text stands between [CLS] and [SEP], as in the examples of the published
    port; without, its first byte stands first, as in the original release.
    """

    text: str
    top_k: int | None = None
    targets: tuple[str, ...] | None = None
    special_tokens: bool = True


@dataclass(frozen=True)
class Fill:
    """One filling of a span. `sequence`: the text with it (other spans stay masked); `token`: the
    id of its first byte; `tokens`: the ids of all."""

    sequence: str
    score: float
    token: int
    token_str: str
    tokens: list[int]


class FillMask(Pipeline[FillMaskInput, list[list[Fill]]]):
    """PerceiverForMaskedLM; only the masked positions are decoded."""

    task = "fill-mask"
    input_type = FillMaskInput

    def __init__(self, config: PerceiverConfig, folder: Path) -> None:
        check_vocabulary(config)
        super().__init__(config, folder)

    def check(self, item: FillMaskInput) -> None:
        """Something masked, no span too long, the text not longer than the model reads, targets of
        the spans' length."""
        check_top_k(item.top_k, MAX_TOP_K)
        masks = item.text.count(MASK)
        if not masks:
            raise InvalidInput(
                "the text has no [MASK]: put one [MASK] for each byte to be filled in"
            )
        check_length(
            len(utf8(item.text)) - masks * (len(MASK) - 1),
            self.config.max_position_embeddings,
            markers=2 if item.special_tokens else 0,
        )
        lengths = {end - start for start, end in mask_spans(masked_ids(item.text))}
        if max(lengths) > MAX_SPAN:
            raise InvalidInput(
                f"a span has {max(lengths)} [MASK]s: at most {MAX_SPAN} in a row can be filled in"
            )
        top_k = item.top_k or DEFAULT_TOP_K
        if item.targets is None and masks * top_k > MAX_SEARCHED:
            raise InvalidInput(
                f"{masks} [MASK]s with top_k {top_k} are {masks * top_k} bytes to be searched for, "
                f"at most {MAX_SEARCHED}: use a smaller top_k or fewer masks"
            )
        self._check_targets(item.targets, lengths)

    def _check_targets(self, targets: tuple[str, ...] | None, lengths: set[int]) -> None:
        if targets is None:
            return
        if not 1 <= len(targets) <= MAX_TOP_K:
            raise InvalidInput(
                f"targets has {len(targets)} strings: give 1 to {MAX_TOP_K}, or none"
            )
        for target in targets:
            size = len(utf8(target))
            if {size} != lengths:
                raise InvalidInput(
                    f"target {target!r} has {size} bytes and the spans of masks have "
                    f"{', '.join(map(str, sorted(lengths)))}: they must be equal"
                )

    def answer_characters(self, item: FillMaskInput) -> int:
        """Every candidate of every span repeats the whole text."""
        candidates = len(item.targets or ()) or item.top_k or DEFAULT_TOP_K
        return len(RUN_OF_MASKS.findall(item.text)) * candidates * (len(item.text) + 100)

    def preprocess(self, item: FillMaskInput) -> list[Row]:
        """`input_ids` int64 (M,)."""
        return [{"input_ids": masked_ids(item.text, item.special_tokens)}]

    def forward(self, model: Any, rows: list[Row]) -> list[Row]:
        """`logits` float32 (masks, vocab) of the masked positions in order."""
        from perceiver_core.pipelines.rows import decode_positions, encode_rows

        ids = [row["input_ids"] for row in rows]
        latents = encode_rows(model, ids)
        places = [np.concatenate([np.arange(*span) for span in mask_spans(i)]) for i in ids]
        return [
            {"logits": decode_positions(model, z, p)} for z, p in zip(latents, places, strict=True)
        ]

    def postprocess(self, item: FillMaskInput, rows: Iterable[Row]) -> list[list[Fill]]:
        """One list of fillings for each span, best first.

        A byte's probability is the softmax over the 256 byte ids; a filling's is the product over
        its bytes. Candidates are the exact k best that are valid UTF-8.
        """
        (row,) = rows
        log_probs = np.log(np.maximum(softmax(row["logits"][:, BYTE_0:]), 1e-300))
        answer, done = [], 0
        for run in RUN_OF_MASKS.finditer(item.text):
            length = (run.end() - run.start()) // len(MASK)
            span = log_probs[done : done + length]
            done += length
            if item.targets is None:
                found = k_best(span, item.top_k or DEFAULT_TOP_K)
            else:
                found = _scored(span, item.targets)[: item.top_k]
            before, after = item.text[: run.start()], item.text[run.end() :]
            answer.append([_fill(before, raw, after, score) for raw, score in found])
        return answer


def _fill(before: str, raw: bytes, after: str, log_score: float) -> Fill:
    token_str = raw.decode("utf-8")
    tokens = [byte + BYTE_0 for byte in raw]
    return Fill(before + token_str + after, float(np.exp(log_score)), tokens[0], token_str, tokens)


def _scored(span: NDArray[np.float64], targets: tuple[str, ...]) -> list[tuple[bytes, float]]:
    raw = [utf8(target) for target in dict.fromkeys(targets)]
    scored = [(r, float(span[np.arange(len(r)), list(r)].sum())) for r in raw]
    return sorted(scored, key=lambda pair: -pair[1])
