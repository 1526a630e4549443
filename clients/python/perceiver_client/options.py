"""The keywords that tasks take, as types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, get_type_hints

FunctionToApply = Literal["softmax", "sigmoid", "none"]
Modality = Literal["label", "video", "audio"]
Region = tuple[int, int, int, int]
Image = bytes | Path
Method = TypeVar("Method", bound=Callable[..., Any])


class Options(TypedDict, total=False):
    """Of every task.  model: a name from `models()`, else the task's default; timeout: seconds, all
    tries included, else the client's."""

    model: str | None
    timeout: float | None


class StreamOptions(TypedDict, total=False):
    """model: a name from `models()`, else the task's default; timeout: seconds that the server may
    take for an answer, or to take what is sent to it, else the client's.  A stream as a whole may
    last for ever, and nothing in it is tried again."""

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


class FlowOptions(Options, total=False):
    """region: (top, left, height, width) in pixels, else the whole frame; stride: every n-th pixel
    of it, both ways, else all."""

    region: Region | None
    stride: int | None


class FlowStreamOptions(StreamOptions, total=False):
    """region, stride: as of optical_flow."""

    region: Region | None
    stride: int | None


class MultimodalOptions(Options, total=False):
    """outputs: what is wanted of label, video and audio, else the label alone; top_k: how many
    labels per clip, best first, else 5."""

    outputs: Sequence[Modality]
    top_k: int | None


class MultimodalStreamOptions(StreamOptions, total=False):
    """outputs, top_k: as of multimodal_autoencoding."""

    outputs: Sequence[Modality]
    top_k: int | None


def takes(options: Any, of_all: Any = Options) -> Callable[[Method], Method]:
    """Shows the keywords of a TypedDict, and what they mean, in a method's help().

    of_all: the part of them that every call, or every stream, has.
    """
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in get_type_hints(options).items()
    ]

    def decorate(method: Method) -> Method:
        own = inspect.signature(method)
        first = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
        method.__dict__["__signature__"] = own.replace(parameters=[*first, *keywords])
        parts = (method.__doc__, options.__doc__, of_all.__doc__)
        method.__doc__ = "\n\n".join(inspect.cleandoc(part) for part in parts if part)
        return method

    return decorate
