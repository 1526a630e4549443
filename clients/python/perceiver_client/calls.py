"""What texts, images and the catalogue are asked as, and how the answers read, in both dialects.

Adding a task is adding a class; those of video have modules of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from google.protobuf.message import Message

from perceiver_client import perceiver_pb2 as pb
from perceiver_client.call import Json, form_post, given, json_post
from perceiver_client.checks import check_files, check_options, check_texts
from perceiver_client.options import FunctionToApply
from perceiver_client.results import Fill, Format, Label, Model

_FUNCTIONS: dict[str | None, pb.FunctionToApply] = {
    None: pb.FUNCTION_TO_APPLY_UNSPECIFIED,
    "softmax": pb.FUNCTION_TO_APPLY_SOFTMAX,
    "sigmoid": pb.FUNCTION_TO_APPLY_SIGMOID,
    "none": pb.FUNCTION_TO_APPLY_NONE,
}
_FORMAT = [field.name for field in fields(Format)]  # a newer server may tell more


@dataclass(frozen=True)
class TextClassification(Json):
    """texts -> per text its labels."""

    path: ClassVar[str] = "/v1/text-classification"
    rpc: ClassVar[str] = "TextClassification"
    reply: ClassVar[type[Message]] = pb.TextClassificationResponse

    inputs: Sequence[str]
    top_k: int | None = None
    function_to_apply: FunctionToApply | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        check_texts(self.inputs)
        check_options(self.model, self.top_k, self.function_to_apply)

    def requests(self) -> list[dict[str, Any]]:
        parameters = given(top_k=self.top_k, function_to_apply=self.function_to_apply)
        return [json_post(self.inputs, self.model, parameters)]

    def from_http(self, replies: list[Any]) -> list[list[Label]]:
        return [labels_of_json(labels) for labels in replies[0]]

    def message(self) -> Message:
        return pb.TextClassificationRequest(
            model=self.model,
            inputs=self.inputs,
            top_k=self.top_k,
            function_to_apply=_FUNCTIONS[self.function_to_apply],
        )

    def from_reply(self, reply: pb.TextClassificationResponse) -> list[list[Label]]:
        return [labels_of_message(labels) for labels in reply.results]


@dataclass(frozen=True)
class FillMask(Json):
    """texts -> per text, per span of masks, its fillings."""

    path: ClassVar[str] = "/v1/fill-mask"
    rpc: ClassVar[str] = "FillMask"
    reply: ClassVar[type[Message]] = pb.FillMaskResponse

    inputs: Sequence[str]
    top_k: int | None = None
    targets: Sequence[str] | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        check_texts(self.inputs)
        check_options(self.model, self.top_k)
        if self.targets is not None:
            check_texts(self.targets, "targets")

    def requests(self) -> list[dict[str, Any]]:
        targets = None if self.targets is None else list(self.targets)
        return [json_post(self.inputs, self.model, given(top_k=self.top_k, targets=targets))]

    def from_http(self, replies: list[Any]) -> list[list[list[Fill]]]:
        """REST answers a text with one span flat, one with several with a list per span."""
        nested = ([spans] if isinstance(spans[0], dict) else spans for spans in replies[0])
        return [
            [
                [
                    Fill(f["sequence"], f["score"], f["token"], f["token_str"], tuple(f["tokens"]))
                    for f in fills
                ]
                for fills in spans
            ]
            for spans in nested
        ]

    def message(self) -> Message:
        return pb.FillMaskRequest(
            model=self.model, inputs=self.inputs, top_k=self.top_k, targets=self.targets
        )

    def from_reply(self, reply: pb.FillMaskResponse) -> list[list[list[Fill]]]:
        return [
            [
                [
                    Fill(f.sequence, f.score, f.token, f.token_str, tuple(f.tokens))
                    for f in fills.fills
                ]
                for fills in text.spans
            ]
            for text in reply.results
        ]


@dataclass(frozen=True)
class ImageClassification(Json):
    """image files -> per image its labels; REST takes one image per request."""

    path: ClassVar[str] = "/v1/image-classification"
    rpc: ClassVar[str] = "ImageClassification"
    reply: ClassVar[type[Message]] = pb.ImageClassificationResponse

    inputs: Sequence[bytes]
    top_k: int | None = None
    function_to_apply: FunctionToApply | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        check_files(self.inputs, bytes, "bytes (a path is a pathlib.Path)", "image")
        check_options(self.model, self.top_k, self.function_to_apply)

    def requests(self) -> list[dict[str, Any]]:
        parameters = given(top_k=self.top_k, function_to_apply=self.function_to_apply)
        return [form_post({"file": image}, self.model, parameters) for image in self.inputs]

    def from_http(self, replies: list[Any]) -> list[list[Label]]:
        return [labels_of_json(labels) for labels in replies]

    def message(self) -> Message:
        return pb.ImageClassificationRequest(
            model=self.model,
            inputs=self.inputs,
            top_k=self.top_k,
            function_to_apply=_FUNCTIONS[self.function_to_apply],
        )

    def from_reply(self, reply: pb.ImageClassificationResponse) -> list[list[Label]]:
        return [labels_of_message(labels) for labels in reply.results]


@dataclass(frozen=True)
class ListModels(Json):
    """-> the catalogue."""

    path: ClassVar[str] = "/v1/models"
    rpc: ClassVar[str] = "ListModels"
    reply: ClassVar[type[Message]] = pb.ListModelsResponse

    def requests(self) -> list[dict[str, Any]]:
        return [{"method": "GET"}]

    def from_http(self, replies: list[Any]) -> list[Model]:
        return [
            Model(
                m["name"],
                m["task"],
                m["source"],
                m["state"],
                m["default"],
                m["resident_bytes"],
                m["problem"],
                Format(*(m["format"][name] for name in _FORMAT)) if m.get("format") else None,
            )
            for m in replies[0]["models"]
        ]

    def message(self) -> Message:
        return pb.ListModelsRequest()

    def from_reply(self, reply: pb.ListModelsResponse) -> list[Model]:
        return [
            Model(
                m.name,
                m.task if m.HasField("task") else None,
                m.source,
                m.state,
                m.default,
                m.resident_bytes,
                m.problem if m.HasField("problem") else None,
                Format(*(getattr(m.format, name) for name in _FORMAT))
                if m.HasField("format")
                else None,
            )
            for m in reply.models
        ]


def labels_of_json(labels: list[Any]) -> list[Label]:
    return [Label(one["label"], one["score"]) for one in labels]


def labels_of_message(labels: pb.Labels | pb.Clip) -> list[Label]:
    return [Label(one.label, one.score) for one in labels.labels]
