"""What text and image classification share: labels, scores, the k best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceiver_core.errors import InvalidInput
from perceiver_core.pipelines.base import check_top_k, softmax

DEFAULT_TOP_K = 5
FUNCTIONS = ("softmax", "sigmoid", "none")

QUICK_TOP_K = 10
QUICK_LABELS = 1000  # 40 µs


@dataclass(frozen=True)
class Label:
    """One class and its score."""

    label: str
    score: float


def check_options(top_k: int | None, function_to_apply: str, num_labels: int) -> None:
    """Raises InvalidInput for a top_k out of range or an unknown function."""
    check_top_k(top_k, num_labels)
    if function_to_apply not in FUNCTIONS:
        raise InvalidInput(
            f"function_to_apply is {function_to_apply!r}: use one of {', '.join(FUNCTIONS)}"
        )


def is_quick(top_k: int | None, num_labels: int) -> bool:
    """Whether `best_labels` takes microseconds."""
    return (top_k or DEFAULT_TOP_K) <= QUICK_TOP_K and num_labels <= QUICK_LABELS


def best_labels(
    logits: NDArray[Any], labels: tuple[str, ...], top_k: int | None, function_to_apply: str
) -> list[Label]:
    """The k best of logits (num_labels,), best first; equal scores in the order of the labels."""
    scores = _scores(logits, function_to_apply)
    order = np.argsort(-scores, kind="stable")[: top_k or DEFAULT_TOP_K]
    return [Label(labels[i], float(scores[i])) for i in order]


def _scores(logits: NDArray[Any], function: str) -> NDArray[np.float64]:
    wide = np.asarray(logits, np.float64)
    if function == "softmax":
        return softmax(wide)
    if function == "sigmoid":
        return np.asarray(0.5 * (1 + np.tanh(wide / 2)))  # no overflow at either end
    return wide
