"""JSON bytes -> a checked request, or one sentence that names the field, the value and the rule."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

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


async def parse_json(body: bytes, schema: type[Schema]) -> Schema:
    """Parses as strictly as the schema says; of duplicate keys the last counts."""
    if len(body) > IN_THREAD_ABOVE:
        return await asyncio.to_thread(_parse, body, schema)
    return _parse(body, schema)


def _parse(body: bytes, schema: type[Schema]) -> Schema:
    # Two bytes of `[1,1,1…` become a hundred bytes of objects: bound them before parsing.
    if elements(body) > MAX_ELEMENTS and over_the_limit(body):
        raise Fault("too_large", f"the JSON has over {MAX_ELEMENTS} elements, the limit")
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        if error.error_count() > MAX_ERRORS:
            raise _invalid(
                f"the body has {error.error_count()} mistakes: GET /v1/tasks shows an example"
            ) from None
        details: Any = error.errors(include_url=False)[0]
        raise _fault(details, schema) from None


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


def _fault(error: dict[str, Any], schema: type[BaseModel]) -> Fault:
    kind, value = error["type"], error["input"]
    if kind == "json_invalid":
        return Fault("malformed", f"the body is not valid JSON: {error['ctx']['error']}")
    path = path_of(error["loc"])
    if kind == "missing":
        return _invalid(f"{path} is missing: send {_keys(schema, ())}")
    if kind == "extra_forbidden":
        parent = path_of(error["loc"][:-1])
        keys = _keys(schema, error["loc"][:-1])
        return _invalid(f"unknown key {_cut(repr(error['loc'][-1]))} in {parent}: it takes {keys}")
    if kind == "literal_error":
        return _invalid(f"{path} must be {error['ctx']['expected']}, but is {_described(value)}")
    if kind == "too_short":
        return _invalid(f"{path} is an empty list: send at least one string")
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = error["ctx"].get("ge", error["ctx"].get("le"))
        side = "at least" if kind == "greater_than_equal" else "at most"
        return _invalid(f"{path} is {_cut(str(value))}, but must be {side} {bound}")
    rule = _RULES.get(kind, "different")
    return _invalid(f"{path} must be {rule}, but is {_described(value)}")


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
    fields = schema.model_fields
    if loc and loc[0] == "parameters":
        nested = fields["parameters"].annotation
        models = [a for a in getattr(nested, "__args__", ()) if hasattr(a, "model_fields")]
        fields = models[0].model_fields
    return ", ".join(name for name in fields if name != "options")


def _described(value: object) -> str:
    """The value where it is short, else what it is."""
    short = isinstance(value, str) and len(value) <= 40
    return repr(value) if short else _KINDS.get(type(value), "something else")


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"


def _invalid(sentence: str) -> Fault:
    return Fault("invalid_input", sentence)
