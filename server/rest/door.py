"""What a task is to REST: how a request becomes the engine's items, and how answers are sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette.datastructures import Headers

from server.media_pool import MediaPool
from server.rest.answer import Parts
from server.rest.examples import EXAMPLES

JSON = "application/json"


@dataclass(frozen=True)
class Call:
    """What a request asks of the engine."""

    items: Sequence[Any]
    single: bool  # the answer is for one input rather than a list of them
    model: str | None


@dataclass(frozen=True)
class Posted:
    """A request, read, and the type that its answer is to be of."""

    headers: Headers
    body: bytes
    answer_type: str


@dataclass(frozen=True)
class Form:
    """One type that an answer can be sent as."""

    write: Callable[[MediaPool, Sequence[Any], bool], Awaitable[Parts]]  # outputs, single
    filename: str | None = None  # what to keep it as


@dataclass(frozen=True, kw_only=True)
class Door:
    """One task as REST speaks it."""

    task: str
    summary: str
    request: type[BaseModel]
    answer: Any  # of JSON: a type, for the OpenAPI document
    read: Callable[[Posted], Awaitable[Call]]
    forms: dict[str, Form]  # by content type; the first where the client has no wish
    media: tuple[str, ...] = ()  # content types of a whole body beside JSON
    parts: tuple[str, ...] = ()  # files of a multipart form
    large: bool = False  # answers may take megabytes

    @property
    def path(self) -> str:
        return f"/v1/{self.task}"

    @property
    def example(self) -> dict[str, Any]:
        return EXAMPLES[self.task]


def options_of(parameters: BaseModel | None) -> dict[str, Any]:
    """What was given; the pipeline's input knows the defaults."""
    return {} if parameters is None else parameters.model_dump(exclude_none=True)
