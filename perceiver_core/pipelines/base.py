"""A pipeline: what one Perceiver can do for a person, from typed input to typed output.

`preprocess` and `postprocess` are numpy and run anywhere; `forward` is torch and runs where the
model is. Nothing here imports torch, so that a process without it can use the rest.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from perceiver_core.config import PerceiverConfig
from perceiver_core.errors import InvalidInput

Row = dict[str, NDArray[Any]]
Input = TypeVar("Input")
Output = TypeVar("Output")

BATCH_OUTPUTS = 2**16  # rows with so many keep a CPU busy for a second: more gain nothing there


class Pipeline(ABC, Generic[Input, Output]):
    """One task of one model folder, without its weights."""

    task: ClassVar[str]
    input_type: ClassVar[type]
    media: ClassVar[bool] = False  # `input_type` holds encoded media of strangers
    video: ClassVar[bool] = False  # and they are videos, which take seconds to decode

    def __init__(self, config: PerceiverConfig, folder: Path) -> None:
        self.config = config
        self.folder = folder

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Read the small files of a model folder. Raises CheckpointError."""
        return cls(PerceiverConfig.from_pretrained(folder), folder)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, () where the task has none."""
        return ()

    @property
    def most_rows(self) -> int:
        """How many rows one batch may hold: more of them would gain nothing and hold others up."""
        return sys.maxsize

    @abstractmethod
    def check(self, item: Input) -> None:
        """Refuse what can be seen to be wrong without work. Raises InvalidInput."""

    def encoded(self, item: Input) -> bool:
        """Whether an item holds media that are still to be decoded."""
        return self.media and isinstance(item, self.input_type)

    def decoded(self, item: Input) -> Input:
        """A checked item whose media are decoded and checked, where its pipeline has such a form of
        it. Raises InvalidInput."""
        return item

    def row_count(self, item: Input) -> int:
        """How many rows `preprocess` makes of a `decoded` item, known without making them."""
        return 1

    def answer_characters(self, item: Input) -> int:
        """About how long the answer to a checked item is, where an item can ask for much."""
        return 0

    def answer_bytes(self, item: Input, rows: list[Row]) -> int:
        """How many bytes the arrays of the answer to an item take, given its rows."""
        return 0

    @abstractmethod
    def preprocess(self, item: Input) -> Iterable[Row]:
        """One item as rows without a batch dimension, each made when it is asked for where they
        are large. Raises InvalidInput at once."""

    @abstractmethod
    def forward(self, model: Any, rows: list[Row]) -> list[Row]:
        """Run rows of any number of items, ragged ones too, in one batch; one row out for each."""

    @abstractmethod
    def postprocess(self, item: Input, rows: Iterable[Row]) -> Output:
        """An item's own output rows as its answer."""

    def quick(self, item: Input) -> bool:
        """Whether `postprocess` takes microseconds: less than handing it to a thread would."""
        return False

    def __call__(self, model: Any, item: Input) -> Output:
        """All of it for one item, in this process; of its rows a batch at a time is kept."""
        self.check(item)
        found = (row for batch in self.batches(item) for row in self.forward(model, batch))
        return self.postprocess(item, found)

    def batches(self, item: Input) -> Iterator[list[Row]]:
        """What `preprocess` makes of a checked item, a batch at a time."""
        rows = iter(self.preprocess(item))
        return iter(lambda: list(islice(rows, self.most_rows)), [])


def rows_within(outputs: int) -> int:
    """`most_rows` where a row has so many outputs."""
    return max(1, BATCH_OUTPUTS // outputs)


def check_top_k(top_k: int | None, most: int) -> None:
    """1 <= top_k <= most, or None for the default."""
    if top_k is not None and not 1 <= top_k <= most:
        raise InvalidInput(f"top_k is {top_k}: use 1 to {most}")


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Over the last axis, in float64."""
    shifted = np.asarray(logits, np.float64)
    exp = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=-1, keepdims=True))
