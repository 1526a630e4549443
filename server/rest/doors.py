"""One row per task: its JSON types, how a request becomes the engine's items, how answers look.

Adding a task to REST is adding a row here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette.datastructures import Headers

from perceiver_core.pipelines.fill_mask import FillMaskInput
from perceiver_core.pipelines.image_classification import ImageClassificationInput
from perceiver_core.pipelines.text_classification import TextClassificationInput
from server.rest.examples import EXAMPLES
from server.rest.images import image_call
from server.rest.parse import parse_json
from server.rest.schemas import (
    FillAnswer,
    FillMaskRequest,
    ImageClassificationRequest,
    LabelAnswer,
    TextClassificationRequest,
)


@dataclass(frozen=True)
class Call:
    """What a request asks of the engine."""

    items: Sequence[Any]
    single: bool  # the answer is for one input rather than a list of them
    model: str | None


@dataclass(frozen=True)
class Door:
    """One task as REST speaks it."""

    task: str
    summary: str
    request: type[BaseModel]
    answer: Any  # a type, for the OpenAPI document
    media: tuple[str, ...]  # content types beside JSON
    read: Callable[[Headers, bytes], Awaitable[Call]]
    render: Callable[[Sequence[Any], bool], Any]

    @property
    def path(self) -> str:
        return f"/v1/{self.task}"

    @property
    def example(self) -> dict[str, Any]:
        return EXAMPLES[self.task]


async def _text_classification(_: Headers, body: bytes) -> Call:
    request = await parse_json(body, TextClassificationRequest)
    texts, single = _texts(request.inputs)
    options = _options(request.parameters)
    items = [TextClassificationInput(text, **options) for text in texts]
    return Call(items, single, request.model)


async def _fill_mask(_: Headers, body: bytes) -> Call:
    request = await parse_json(body, FillMaskRequest)
    texts, single = _texts(request.inputs)
    options = _options(request.parameters)
    if "targets" in options:
        options["targets"] = tuple(options["targets"])
    return Call([FillMaskInput(text, **options) for text in texts], single, request.model)


async def _image_classification(headers: Headers, body: bytes) -> Call:
    call = await image_call(headers, body)
    options = _options(call.parameters)
    return Call([ImageClassificationInput(call.image, **options)], True, call.model)


def _texts(inputs: str | list[str]) -> tuple[list[str], bool]:
    return ([inputs], True) if isinstance(inputs, str) else (inputs, False)


def _options(parameters: BaseModel | None) -> dict[str, Any]:
    """What was given; the pipeline's input knows the defaults."""
    return {} if parameters is None else parameters.model_dump(exclude_none=True)


def _nested(outputs: Sequence[Any], single: bool) -> Any:
    """Text classification: always one inner list per string."""
    return outputs


def _flat(outputs: Sequence[Any], single: bool) -> Any:
    """Image classification: one image, one flat list."""
    return outputs[0]


def _per_span(outputs: Sequence[Any], single: bool) -> Any:
    """Fill-mask: one span is a flat list, several spans are a list each; a list per string."""
    per_string = [spans[0] if len(spans) == 1 else spans for spans in outputs]
    return per_string[0] if single else per_string


DOORS: dict[str, Door] = {
    door.task: door
    for door in (
        Door(
            "text-classification",
            "Label texts: the language of a text, for one.",
            TextClassificationRequest,
            list[list[LabelAnswer]],
            (),
            _text_classification,
            _nested,
        ),
        Door(
            "fill-mask",
            "Fill [MASK]s, one per missing byte.",
            FillMaskRequest,
            list[FillAnswer] | list[list[FillAnswer]] | list[list[list[FillAnswer]]],
            (),
            _fill_mask,
            _per_span,
        ),
        Door(
            "image-classification",
            "Label one JPEG, PNG or WebP image.",
            ImageClassificationRequest,
            list[LabelAnswer],
            ("image/jpeg", "image/png", "image/webp", "application/octet-stream"),
            _image_classification,
            _flat,
        ),
    )
}
