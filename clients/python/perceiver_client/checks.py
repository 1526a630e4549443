"""What not every transport can carry is refused here, with the same words for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from perceiver_client.errors import PerceiverError
from perceiver_client.options import FunctionToApply

MAX_TOP_K = 1_000_000
FUNCTIONS: tuple[str, ...] = get_args(FunctionToApply)


def check_texts(texts: Sequence[str], name: str = "inputs") -> None:
    _check_all(texts, str, name)
    for index, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:  # JSON would carry it, protobuf would not
            half = f"{name}[{index}] is no text: character {error.start} is half of a pair"
            raise PerceiverError("invalid_input", half) from None


def check_images(images: Sequence[bytes]) -> None:
    _check_all(images, bytes, "inputs")
    for index, image in enumerate(images):
        if not image:
            raise PerceiverError("invalid_input", f"inputs[{index}] is empty, no image")


def _check_all(values: Sequence[Any], kind: type, name: str) -> None:
    if isinstance(values, str | bytes):
        raise TypeError(f"{name} must be a list, but is one {type(values).__name__}")
    for index, value in enumerate(values):
        if not isinstance(value, kind):
            found = type(value).__name__
            raise TypeError(f"{name}[{index}] must be {kind.__name__}, but is {found}")
    if not values:
        raise PerceiverError("invalid_input", f"{name} is empty: give at least one")


def check_options(top_k: int | None, function: str | None = None) -> None:
    if top_k is not None and not 1 <= top_k <= MAX_TOP_K:
        message = f"top_k is {top_k}, but must be from 1 to {MAX_TOP_K}"
        raise PerceiverError("invalid_input", message)
    if function is not None and function not in FUNCTIONS:
        message = f"function_to_apply is {function!r}, but must be one of {', '.join(FUNCTIONS)}"
        raise PerceiverError("invalid_input", message)
