"""Text to labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from perceiver_core.config import PerceiverConfig
from perceiver_core.errors import InvalidInput
from perceiver_core.pipelines.base import Pipeline, Row
from perceiver_core.pipelines.classification import Label, best_labels, check_options, is_quick
from perceiver_core.pipelines.text import check_length, check_vocabulary, text_ids
from perceiver_core.vocabulary import utf8


@dataclass(frozen=True)
class TextClassificationInput:
    """A text (nothing in it is special), how many labels (default 5), and how logits become scores:
    softmax, sigmoid or none."""

    text: str
    top_k: int | None = None
    function_to_apply: str = "softmax"


class TextClassification(Pipeline[TextClassificationInput, list[Label]]):
    """PerceiverForSequenceClassification over raw bytes."""

    task = "text-classification"
    input_type = TextClassificationInput

    def __init__(self, config: PerceiverConfig, folder: Path) -> None:
        check_vocabulary(config)
        super().__init__(config, folder)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """From `id2label`."""
        return self.config.labels

    def check(self, item: TextClassificationInput) -> None:
        """Not empty, not longer than the model reads, options in range."""
        check_options(item.top_k, item.function_to_apply, len(self.labels))
        if not item.text:
            raise InvalidInput("the text is empty: send at least one character")
        check_length(len(utf8(item.text)), self.config.max_position_embeddings)

    def preprocess(self, item: TextClassificationInput) -> list[Row]:
        """`input_ids` int64 (M,)."""
        return [{"input_ids": text_ids(utf8(item.text))}]

    def forward(self, model: Any, rows: list[Row]) -> list[Row]:
        """`logits` float32 (num_labels,)."""
        from perceiver_core.pipelines.rows import classify, encode_rows

        latents = encode_rows(model, [row["input_ids"] for row in rows])
        return [{"logits": logits} for logits in classify(model, latents)]

    def quick(self, item: TextClassificationInput) -> bool:
        """A short list of few labels."""
        return is_quick(item.top_k, len(self.labels))

    def postprocess(self, item: TextClassificationInput, rows: Iterable[Row]) -> list[Label]:
        """The k best labels."""
        (row,) = rows
        return best_labels(row["logits"], self.labels, item.top_k, item.function_to_apply)
