"""One row per task: its RPC, how a request becomes the engine's items, how outputs look.

Adding a task to gRPC is adding a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from perceiver_core.pipelines.fill_mask import FillMaskInput
from perceiver_core.pipelines.image_classification import ImageClassificationInput
from perceiver_core.pipelines.text_classification import TextClassificationInput
from protos.perceiver.v1 import perceiver_pb2 as pb
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
    items: Callable[[Any], list[Any]]  # of a request
    response: Callable[[Sequence[Any]], Message]  # from one output per item
    media: bool = False  # requests carry encoded media rather than text


def _texts(request: pb.TextClassificationRequest) -> list[TextClassificationInput]:
    return [TextClassificationInput(text, *_options(request)) for text in request.inputs]


def _masked_texts(request: pb.FillMaskRequest) -> list[FillMaskInput]:
    targets = tuple(request.targets) or None
    return [FillMaskInput(text, _top_k(request), targets) for text in request.inputs]


def _images(request: pb.ImageClassificationRequest) -> list[ImageClassificationInput]:
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


def _labels(output: Sequence[Any]) -> pb.Labels:
    return pb.Labels(labels=[pb.Label(label=one.label, score=one.score) for one in output])


def _spans(output: Sequence[Any]) -> pb.Spans:
    fills = ([pb.Fill(**vars(fill)) for fill in span] for span in output)
    return pb.Spans(spans=[pb.Fills(fills=span) for span in fills])


RPCS = (
    Rpc(
        "TextClassification",
        "text-classification",
        pb.TextClassificationRequest,
        _texts,
        lambda outputs: pb.TextClassificationResponse(results=map(_labels, outputs)),
    ),
    Rpc(
        "FillMask",
        "fill-mask",
        pb.FillMaskRequest,
        _masked_texts,
        lambda outputs: pb.FillMaskResponse(results=map(_spans, outputs)),
    ),
    Rpc(
        "ImageClassification",
        "image-classification",
        pb.ImageClassificationRequest,
        _images,
        lambda outputs: pb.ImageClassificationResponse(results=map(_labels, outputs)),
        media=True,
    ),
)
