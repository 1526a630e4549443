"""What a call is to the transports; nothing here does I/O."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from google.protobuf.message import Message

T = TypeVar("T")


class Call(Protocol):
    """One call: `requests` are httpx's keywords of the HTTP requests it takes, `parse` reads the
    body of an answer of the type `accept`.  `heavy` ones are written and read in a thread."""

    path: ClassVar[str]
    accept: ClassVar[str]
    rpc: ClassVar[str]
    reply: ClassVar[type[Message]]
    heavy: ClassVar[bool]

    def requests(self) -> list[dict[str, Any]]: ...
    def parse(self, body: bytes) -> Any: ...
    def from_http(self, replies: list[Any]) -> list[Any]: ...
    def message(self) -> Message: ...
    def from_reply(self, reply: Any) -> list[Any]: ...


# What reading an answer raises that is none of ours.
NOT_AS_ASKED = (LookupError, TypeError, ValueError)


async def in_thread(call: Call, work: Callable[..., T], *values: Any) -> T:
    """The result of a call's own work; of a heavy one the event loop hears nothing."""
    return await asyncio.to_thread(work, *values) if call.heavy else work(*values)


class Json:
    """Small calls, answered in JSON."""

    accept: ClassVar[str] = "application/json"
    heavy: ClassVar[bool] = False

    def parse(self, body: bytes) -> Any:
        return json.loads(body)


def json_post(
    inputs: Sequence[str], model: str | None, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    body = {"inputs": list(inputs), "parameters": parameters, **given(model=model or None)}
    return {"method": "POST", "json": body}


def form_post(
    files: Mapping[str, bytes], model: str | None, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Media go as forms: a bare body that is none of them but JSON would be read as JSON."""
    data = {"parameters": json.dumps(parameters)}
    return {"method": "POST", "files": files, "data": data, "params": given(model=model or None)}


def given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
