"""One row per task: its JSON types, how a request becomes the engine's items, how answers look.

Adding a task to REST is adding a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from perceiver_core.pipelines.fill_mask import FillMaskInput
from perceiver_core.pipelines.image_classification import ImageClassificationInput
from perceiver_core.pipelines.text_classification import TextClassificationInput
from server.media_pool import MediaPool
from server.rest.answer import Parts, json_parts
from server.rest.door import JSON, Call, Door, Form, Posted, options_of
from server.rest.multimodal_autoencoding import MULTIMODAL_AUTOENCODING
from server.rest.optical_flow import OPTICAL_FLOW
from server.rest.parse import parse_json
from server.rest.schemas import (
    ClassificationParameters,
    FillAnswer,
    FillMaskRequest,
    ImageClassificationRequest,
    LabelAnswer,
    TextClassificationRequest,
)
from server.rest.uploads import Upload, read_upload
from server.signatures import check_image, image_format

IMAGE = Upload(
    ImageClassificationRequest,
    ClassificationParameters,
    ("file",),
    image_format,
    check_image,
    "send the image as the part `file`, and `parameters`, if any, as a JSON part",
)


async def _text_classification(posted: Posted) -> Call:
    request = await parse_json(posted.body, TextClassificationRequest)
    texts, single = _texts(request.inputs)
    options = options_of(request.parameters)
    items = [TextClassificationInput(text, **options) for text in texts]
    return Call(items, single, request.model)


async def _fill_mask(posted: Posted) -> Call:
    request = await parse_json(posted.body, FillMaskRequest)
    texts, single = _texts(request.inputs)
    options = options_of(request.parameters)
    if "targets" in options:
        options["targets"] = tuple(options["targets"])
    return Call([FillMaskInput(text, **options) for text in texts], single, request.model)


async def _image_classification(posted: Posted) -> Call:
    uploaded = await read_upload(posted.headers, posted.body, IMAGE)
    options = options_of(uploaded.parameters)
    item = ImageClassificationInput(uploaded.files["file"], **options)
    return Call([item], True, uploaded.model)


def _texts(inputs: str | list[str]) -> tuple[list[str], bool]:
    return ([inputs], True) if isinstance(inputs, str) else (inputs, False)


def _json(arrange: Callable[[Sequence[Any], bool], Any]) -> dict[str, Form]:
    """An answer that is always JSON, made on the spot."""

    async def write(_: MediaPool, outputs: Sequence[Any], single: bool) -> Parts:
        return json_parts(arrange(outputs, single))

    return {JSON: Form(write)}


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
            task="text-classification",
            summary="Label texts: the language of a text, for one.",
            request=TextClassificationRequest,
            answer=list[list[LabelAnswer]],
            read=_text_classification,
            forms=_json(_nested),
        ),
        Door(
            task="fill-mask",
            summary="Fill [MASK]s, one per missing byte.",
            request=FillMaskRequest,
            answer=list[FillAnswer] | list[list[FillAnswer]] | list[list[list[FillAnswer]]],
            read=_fill_mask,
            forms=_json(_per_span),
        ),
        Door(
            task="image-classification",
            summary="Label one JPEG, PNG or WebP image.",
            request=ImageClassificationRequest,
            answer=list[LabelAnswer],
            media=("image/jpeg", "image/png", "image/webp", "application/octet-stream"),
            parts=IMAGE.parts,
            read=_image_classification,
            forms=_json(_flat),
        ),
        OPTICAL_FLOW,
        MULTIMODAL_AUTOENCODING,
    )
}
