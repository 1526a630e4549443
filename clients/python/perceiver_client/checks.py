"""What not every transport can carry is refused here, with the same words for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from reprlib import repr as short
from typing import Any, get_args

from perceiver_client.errors import PerceiverError
from perceiver_client.options import FunctionToApply

MAX_TOP_K = 1_000_000
FUNCTIONS: tuple[str, ...] = get_args(FunctionToApply)
NAMES: dict[type, str] = {str: "str", bytes: "bytes (a path is a pathlib.Path)"}


def several(inputs: Any) -> tuple[list[Any], bool]:
    """The inputs as a list, and whether it was one."""
    if isinstance(inputs, str | bytes | Path):
        return [inputs], True
    if not isinstance(inputs, Iterable):
        raise TypeError(f"inputs must be one input or a list of them, but is {short(inputs)}")
    return list(inputs), False


def check_known(task: type[Any], names: Iterable[str]) -> None:
    """TypeError for an option that a task does not take."""
    known = [field.name for field in fields(task) if field.name != "inputs"]
    for name in names:
        if name not in known:
            takes = ", ".join([*known, "timeout"])
            raise TypeError(f"{task.__name__} has no option {name!r}; it has {takes}")


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
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise TypeError(f"{name} must be a list, but is {short(values)}")
    for index, value in enumerate(values):
        if not isinstance(value, kind):
            raise TypeError(f"{name}[{index}] must be {NAMES[kind]}, but is {short(value)}")
    if not values:
        raise PerceiverError("invalid_input", f"{name} is empty: give at least one")


def check_options(model: str | None, top_k: int | None, function: str | None = None) -> None:
    if model is not None and not isinstance(model, str):
        raise TypeError(f"model must be a str, but is {short(model)}")
    if top_k is not None and not isinstance(top_k, int):
        raise TypeError(f"top_k must be an int, but is {short(top_k)}")
    if top_k is not None and not 1 <= top_k <= MAX_TOP_K:
        message = f"top_k is {top_k}, but must be from 1 to {MAX_TOP_K}"
        raise PerceiverError("invalid_input", message)
    if function is not None and function not in FUNCTIONS:
        message = f"function_to_apply is {function!r}, but must be one of {', '.join(FUNCTIONS)}"
        raise PerceiverError("invalid_input", message)
