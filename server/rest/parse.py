"""JSON bytes -> a checked request, or one sentence that names the field, the value and the rule."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from server.errors import Fault

Schema = TypeVar("Schema", bound=BaseModel)

IN_THREAD_ABOVE = 256 * 1024
MAX_ELEMENTS = 40_000  # about 50 ms of parsing, during which nobody else is served
MAX_ERRORS = 100
_STEP = 256 * 1024

_RULES = {
    "int_type": "a whole number",
    "int_parsing_size": "a whole number of reasonable size",
    "string_type": "a string",
    "list_type": "a list",
    "model_type": "an object",
    "one_or_many": "a string or a list of strings",
}
_KINDS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number that is not whole",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


async def parse_json(body: bytes, schema: type[Schema], *within: str) -> Schema:
    """Parses as strictly as the schema says; of duplicate keys the last counts.

    `within` is the path of what is no whole body.
    """
    if len(body) > IN_THREAD_ABOVE:
        return await asyncio.to_thread(_parse, body, schema, within)
    return _parse(body, schema, within)


def _parse(body: bytes, schema: type[Schema], within: tuple[str, ...]) -> Schema:
    # Two bytes of `[1,1,1…` become a hundred bytes of objects: bound them before parsing.
    if elements(body) > MAX_ELEMENTS and over_the_limit(body):
        raise Fault("too_large", f"the JSON has over {MAX_ELEMENTS} elements, the limit")
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        if error.error_count() > MAX_ERRORS:
            count = error.error_count()
            raise _invalid(
                f"{path_of(within)} has {count} mistakes: GET /v1/tasks shows an example"
            ) from None
        details: Any = error.errors(include_url=False)[0]
        raise _fault(details, schema, within) from None


def elements(body: bytes) -> int:
    """How many values JSON may hold, at most."""
    return sum(map(body.count, (b",", b"[", b"{")))


def over_the_limit(body: bytes) -> bool:
    """True where what stands outside of strings, or the number of strings, is over MAX_ELEMENTS.

    In steps: one call over the whole body would hold the interpreter for seconds.
    """
    found = quotes = 0
    escape = b""  # a backslash that ends a step belongs to the next one
    for start in range(0, len(body), _STEP):
        piece = escape + body[start : start + _STEP]
        piece = piece.replace(rb"\\", b"").replace(rb"\"", b"")
        escape = b"\\" if piece.endswith(b"\\") else b""
        parts = piece.removesuffix(b"\\").split(b'"')
        found += elements(b" ".join(parts[quotes % 2 :: 2]))
        quotes += len(parts) - 1
        if found > MAX_ELEMENTS or quotes > 4 * (MAX_ELEMENTS + 1):  # a key and a value each
            return True
    return False


def _fault(error: dict[str, Any], schema: type[BaseModel], within: tuple[str, ...]) -> Fault:
    kind, value, loc = error["type"], error["input"], error["loc"]
    if kind == "json_invalid":
        return Fault("malformed", f"{path_of(within)} is not valid JSON: {error['ctx']['error']}")
    path = path_of(within + loc)
    if kind == "missing":
        return _invalid(f"{path} is missing: send {_keys(schema, loc[:-1])}")
    if kind == "extra_forbidden":
        parent, keys = path_of((within + loc)[:-1]), _keys(schema, loc[:-1])
        return _invalid(f"unknown key {_cut(repr(loc[-1]))} in {parent}: it takes {keys}")
    if kind == "literal_error":
        return _invalid(f"{path} must be {error['ctx']['expected']}, but is {_described(value)}")
    if kind in ("too_short", "too_long"):
        return _invalid(f"{path} {_length(error['ctx'])}")
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = error["ctx"].get("ge", error["ctx"].get("le"))
        side = "at least" if kind == "greater_than_equal" else "at most"
        return _invalid(f"{path} is {_cut(str(value))}, but must be {side} {bound}")
    rule = _RULES.get(kind, "different")
    return _invalid(f"{path} must be {rule}, but is {_described(value)}")


def _length(rule: dict[str, int]) -> str:
    """What is wrong with the length of a list."""
    least, most, found = rule.get("min_length", 0), rule.get("max_length"), rule["actual_length"]
    if not found:
        return f"is an empty list: send at least {least}"
    return f"has {found} entries: send " + (f"at most {most}" if most else f"at least {least}")


def path_of(loc: tuple[int | str, ...]) -> str:
    """("inputs", "many", 3) -> `inputs[3]`; the tags of unions are nobody's business."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in ("one", "many"):
            path += f".{part}" if path else part
    return _cut(path) or "the body"


def _keys(schema: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """The keys that the object at `loc` takes, as a person lists them."""
    for key in loc:
        nested = schema.model_fields[str(key)].annotation
        schema = next(a for a in (nested, *get_args(nested)) if hasattr(a, "model_fields"))
    return ", ".join(name for name in schema.model_fields if name != "options")


def _described(value: object) -> str:
    """The value where it is short, else what it is."""
    short = isinstance(value, str) and len(value) <= 40
    return repr(value) if short else _KINDS.get(type(value), "something else")


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"


def _invalid(sentence: str) -> Fault:
    return Fault("invalid_input", sentence)
