"""One row per task: its RPC, how a request becomes the engine's items, how outputs look.

Adding a task to gRPC is adding a row here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from perceiver_core.pipelines.fill_mask import FillMaskInput
from perceiver_core.pipelines.image_classification import ImageClassificationInput
from perceiver_core.pipelines.text_classification import TextClassificationInput
from protos.perceiver.v1 import perceiver_pb2 as pb
from server.config import Settings
from server.media_pool import MediaPool
from server.rpc import clips, flow
from server.rpc.parts import Parts
from server.signatures import check_image
from server.work import naming

SERVICE = pb.DESCRIPTOR.services_by_name["Perceiver"].full_name
FUNCTIONS = {
    pb.FUNCTION_TO_APPLY_UNSPECIFIED: "softmax",
    pb.FUNCTION_TO_APPLY_SOFTMAX: "softmax",
    pb.FUNCTION_TO_APPLY_SIGMOID: "sigmoid",
    pb.FUNCTION_TO_APPLY_NONE: "none",
}


@dataclass(frozen=True)
class Rpc:
    """One task as gRPC speaks it."""

    name: str
    task: str
    request: type[Message]
    response: type[Message]  # its field `results` has one element per input
    items: Callable[[Any, Settings], list[Any]]  # of a request
    render: Callable[[Any, Sequence[Any], MediaPool], Awaitable[list[Parts]]]  # written results
    media: bool = False  # requests carry media rather than text
    fields: int = 1  # of an input, those of its messages counted too


def model_of(request: Any) -> str | None:
    """The model that is named, None for the task's default."""
    return getattr(request, "options", request).model or None


def _texts(request: pb.TextClassificationRequest, _: Settings) -> list[TextClassificationInput]:
    return [TextClassificationInput(text, *_options(request)) for text in request.inputs]


def _masked_texts(request: pb.FillMaskRequest, _: Settings) -> list[FillMaskInput]:
    targets = tuple(request.targets) or None
    return [FillMaskInput(text, _top_k(request), targets) for text in request.inputs]


def _images(request: pb.ImageClassificationRequest, _: Settings) -> list[ImageClassificationInput]:
    for index, image in enumerate(request.inputs):
        with naming(index, len(request.inputs)):
            check_image(image)
    return [ImageClassificationInput(image, *_options(request)) for image in request.inputs]


def _options(
    request: pb.TextClassificationRequest | pb.ImageClassificationRequest,
) -> tuple[int | None, str]:
    """An enum's number that we do not know goes on to the pipeline, which says so."""
    function = request.function_to_apply
    return _top_k(request), FUNCTIONS.get(function, str(function))


def _top_k(
    request: pb.TextClassificationRequest | pb.FillMaskRequest | pb.ImageClassificationRequest,
) -> int | None:
    return request.top_k if request.HasField("top_k") else None


def _pairs(request: pb.OpticalFlowRequest, settings: Settings) -> list[flow.Pair]:
    asked = flow.Options.of(request.options)
    return [flow.Pair(pair, asked, settings.max_pixels) for pair in request.inputs]


def _chunks(request: pb.MultimodalAutoencodingRequest, settings: Settings) -> list[clips.Chunk]:
    asked = clips.Options.of(request.options)
    return [clips.Chunk(chunk, asked, settings.max_pixels) for chunk in request.inputs]


async def _labels(_: object, outputs: Sequence[Any], __: MediaPool) -> list[Parts]:
    return [[_ranking(output).SerializeToString()] for output in outputs]


def _ranking(labels: Any) -> pb.Labels:
    return pb.Labels(labels=[pb.Label(**vars(label)) for label in labels])


async def _spans(_: object, outputs: Sequence[Any], __: MediaPool) -> list[Parts]:
    return [[pb.Spans(spans=map(_fills, output)).SerializeToString()] for output in outputs]


def _fills(span: Any) -> pb.Fills:
    return pb.Fills(fills=[pb.Fill(**vars(fill)) for fill in span])


async def _fields(
    request: pb.OpticalFlowRequest, outputs: Sequence[Any], media: MediaPool
) -> list[Parts]:
    return await flow.Options.of(request.options).render(outputs, media)


async def _clips(
    request: pb.MultimodalAutoencodingRequest, outputs: Sequence[Any], media: MediaPool
) -> list[Parts]:
    return await clips.Options.of(request.options).render(outputs, media)


RPCS = (
    Rpc(
        "TextClassification",
        "text-classification",
        pb.TextClassificationRequest,
        pb.TextClassificationResponse,
        _texts,
        _labels,
    ),
    Rpc(
        "FillMask",
        "fill-mask",
        pb.FillMaskRequest,
        pb.FillMaskResponse,
        _masked_texts,
        _spans,
    ),
    Rpc(
        "ImageClassification",
        "image-classification",
        pb.ImageClassificationRequest,
        pb.ImageClassificationResponse,
        _images,
        _labels,
        media=True,
    ),
    Rpc(
        "OpticalFlow",
        "optical-flow",
        pb.OpticalFlowRequest,
        pb.OpticalFlowResponse,
        _pairs,
        _fields,
        media=True,
        fields=20,
    ),
    Rpc(
        "MultimodalAutoencoding",
        "multimodal-autoencoding",
        pb.MultimodalAutoencodingRequest,
        pb.MultimodalAutoencodingResponse,
        _chunks,
        _clips,
        media=True,
        fields=clips.FIELDS,
    ),
)
