"""The keywords that tasks take, as types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, get_type_hints

FunctionToApply = Literal["softmax", "sigmoid", "none"]
Image = bytes | Path
Method = TypeVar("Method", bound=Callable[..., Any])


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


def takes(options: type[Options]) -> Callable[[Method], Method]:
    """Shows the keywords of a TypedDict, and what they mean, in a method's help()."""
    hints = get_type_hints(options)
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in hints.items()
    ]

    def decorate(method: Method) -> Method:
        own = inspect.signature(method)
        first = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
        method.__dict__["__signature__"] = own.replace(parameters=[*first, *keywords])
        parts = (method.__doc__, options.__doc__, Options.__doc__)
        method.__doc__ = "\n\n".join(inspect.cleandoc(part) for part in parts if part)
        return method

    return decorate
