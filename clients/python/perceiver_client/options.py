"""The keywords that tasks take, as types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

FunctionToApply = Literal["softmax", "sigmoid", "none"]
Image = bytes | Path


class Options(TypedDict, total=False):
    """Of every task.  model: a name from `models()`, else the task's default; timeout: seconds, all
    tries included, else the client's."""

    model: str | None
    timeout: float | None


class ClassificationOptions(Options, total=False):
    """top_k: how many labels, best first, else 5; function_to_apply: what turns logits into
    scores, else softmax."""

    top_k: int | None
    function_to_apply: FunctionToApply | None


class FillMaskOptions(Options, total=False):
    """top_k: how many fillings per span, best first, else 5; targets: score these only, each of as
    many bytes as its span has masks."""

    top_k: int | None
    targets: Sequence[str] | None
