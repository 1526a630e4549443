"""What not every transport can carry is refused here, with the same words for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from reprlib import repr as short
from typing import Any, get_args

import numpy as np

from perceiver_client.errors import PerceiverError
from perceiver_client.frames import Chunk
from perceiver_client.options import FunctionToApply, Modality

MOST = 1_000_000  # of a number: both transports carry it, and no answer is as large
FUNCTIONS: tuple[str, ...] = get_args(FunctionToApply)
MODALITIES: tuple[str, ...] = get_args(Modality)


def several(inputs: Any) -> tuple[list[Any], bool]:
    """The inputs as a list, and whether it was one."""
    if isinstance(inputs, str | bytes | Path | Chunk):
        return [inputs], True
    if not isinstance(inputs, Iterable):
        raise TypeError(f"inputs must be one input or a list of them, but is {short(inputs)}")
    return list(inputs), False


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with Python's integers in place of numpy's: JSON carries no others."""
    return {name: _plain(value) for name, value in options.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.tolist() if isinstance(value, np.integer | np.ndarray) else value


def check_known(task: type[Any], names: Iterable[str]) -> None:
    """TypeError for an option that a task does not take."""
    known = [field.name for field in fields(task) if field.name != "inputs"]
    for name in names:
        if name not in known:
            takes = ", ".join([*known, "timeout"])
            raise TypeError(f"{task.__name__} has no option {name!r}; it has {takes}")


def check_texts(texts: Sequence[str], name: str = "inputs") -> None:
    check_all(texts, str, "str", name)
    for index, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:  # JSON would carry it, protobuf would not
            half = f"{name}[{index}] is no text: character {error.start} is half of a pair"
            raise PerceiverError("invalid_input", half) from None


def check_files(files: Sequence[Any], kinds: Any, names: str, what: str) -> None:
    """Of these kinds, by name; an empty one is no image or video, `what`."""
    check_all(files, kinds, names)
    for index, file in enumerate(files):
        if file == b"":
            raise PerceiverError("invalid_input", f"inputs[{index}] is empty, no {what}")


def check_all(values: Sequence[Any], kind: Any, kinds: str, name: str = "inputs") -> None:
    """One or more of a kind, which `kinds` says in words."""
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise TypeError(f"{name} must be a list, but is {short(values)}")
    for index, value in enumerate(values):
        if not isinstance(value, kind):
            raise TypeError(f"{name}[{index}] must be {kinds}, but is {short(value)}")
    if not values:
        raise PerceiverError("invalid_input", f"{name} is empty: give at least one")


def check_options(model: str | None, top_k: int | None = None, function: str | None = None) -> None:
    if model is not None and not isinstance(model, str):
        raise TypeError(f"model must be a str, but is {short(model)}")
    check_number(top_k, "top_k")
    if function is not None and function not in FUNCTIONS:
        message = f"function_to_apply is {function!r}, but must be one of {', '.join(FUNCTIONS)}"
        raise PerceiverError("invalid_input", message)


def check_number(value: int | None, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | None):
        raise TypeError(f"{name} must be an int, but is {short(value)}")
    if value is not None and not 1 <= value <= MOST:
        message = f"{name} is {value}, but must be from 1 to {MOST}"
        raise PerceiverError("invalid_input", message)


def check_region(region: Sequence[int] | None) -> None:
    what = "(top, left, height, width) in pixels"
    if region is None:
        return
    if not isinstance(region, tuple | list) or [*map(type, region)] != [int] * 4:
        raise TypeError(f"region must be {what}, but is {short(region)}")
    if not all(0 <= one <= MOST for one in region):
        message = f"region is {short(region)}, but must be {what}, each from 0 to {MOST}"
        raise PerceiverError("invalid_input", message)


def check_outputs(outputs: Sequence[str]) -> None:
    if isinstance(outputs, str) or not isinstance(outputs, Sequence):
        raise TypeError(f"outputs must be a list, but is {short(outputs)}")
    unknown = [one for one in outputs if one not in MODALITIES]
    if unknown or not outputs:
        known = ", ".join(MODALITIES)
        message = f"outputs is {short(list(outputs))}, but must be one or more of {known}"
        raise PerceiverError("invalid_input", message)
