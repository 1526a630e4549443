"""What each task asks and how its answer reads, in both dialects; nothing here does I/O.

Adding a task is adding a class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from google.protobuf.message import Message

from perceiver_client import perceiver_pb2 as pb
from perceiver_client.checks import check_images, check_options, check_texts
from perceiver_client.options import FunctionToApply
from perceiver_client.results import Fill, Label, Model

_FUNCTIONS: dict[str | None, pb.FunctionToApply] = {
    None: pb.FUNCTION_TO_APPLY_UNSPECIFIED,
    "softmax": pb.FUNCTION_TO_APPLY_SOFTMAX,
    "sigmoid": pb.FUNCTION_TO_APPLY_SIGMOID,
    "none": pb.FUNCTION_TO_APPLY_NONE,
}


class Call(Protocol):
    """One call: `requests` are httpx's keywords of the HTTP requests it takes."""

    path: ClassVar[str]
    rpc: ClassVar[str]
    reply: ClassVar[type[Message]]

    def requests(self) -> list[dict[str, Any]]: ...
    def from_json(self, replies: list[Any]) -> list[Any]: ...
    def message(self) -> Message: ...
    def from_reply(self, reply: Any) -> list[Any]: ...


@dataclass(frozen=True)
class TextClassification:
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
        parameters = _given(top_k=self.top_k, function_to_apply=self.function_to_apply)
        return [_json_post(self.inputs, self.model, parameters)]

    def from_json(self, replies: list[Any]) -> list[list[Label]]:
        return [_labels_of_json(labels) for labels in replies[0]]

    def message(self) -> Message:
        return pb.TextClassificationRequest(
            model=self.model,
            inputs=self.inputs,
            top_k=self.top_k,
            function_to_apply=_FUNCTIONS[self.function_to_apply],
        )

    def from_reply(self, reply: pb.TextClassificationResponse) -> list[list[Label]]:
        return [_labels_of_message(labels) for labels in reply.results]


@dataclass(frozen=True)
class FillMask:
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
        return [_json_post(self.inputs, self.model, _given(top_k=self.top_k, targets=targets))]

    def from_json(self, replies: list[Any]) -> list[list[list[Fill]]]:
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
class ImageClassification:
    """image files -> per image its labels; REST takes one image per request."""

    path: ClassVar[str] = "/v1/image-classification"
    rpc: ClassVar[str] = "ImageClassification"
    reply: ClassVar[type[Message]] = pb.ImageClassificationResponse

    inputs: Sequence[bytes]
    top_k: int | None = None
    function_to_apply: FunctionToApply | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        check_images(self.inputs)
        check_options(self.model, self.top_k, self.function_to_apply)

    def requests(self) -> list[dict[str, Any]]:
        # As a form: a bare body that is no image but JSON would be read as JSON.
        parameters = _given(top_k=self.top_k, function_to_apply=self.function_to_apply)
        rest = {
            "method": "POST",
            "data": {"parameters": json.dumps(parameters)},
            "params": _given(model=self.model or None),
        }
        return [{**rest, "files": {"file": image}} for image in self.inputs]

    def from_json(self, replies: list[Any]) -> list[list[Label]]:
        return [_labels_of_json(labels) for labels in replies]

    def message(self) -> Message:
        return pb.ImageClassificationRequest(
            model=self.model,
            inputs=self.inputs,
            top_k=self.top_k,
            function_to_apply=_FUNCTIONS[self.function_to_apply],
        )

    def from_reply(self, reply: pb.ImageClassificationResponse) -> list[list[Label]]:
        return [_labels_of_message(labels) for labels in reply.results]


@dataclass(frozen=True)
class ListModels:
    """-> the catalogue."""

    path: ClassVar[str] = "/v1/models"
    rpc: ClassVar[str] = "ListModels"
    reply: ClassVar[type[Message]] = pb.ListModelsResponse

    def requests(self) -> list[dict[str, Any]]:
        return [{"method": "GET"}]

    def from_json(self, replies: list[Any]) -> list[Model]:
        return [
            Model(
                m["name"],
                m["task"],
                m["source"],
                m["state"],
                m["default"],
                m["resident_bytes"],
                m["problem"],
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
            )
            for m in reply.models
        ]


def _json_post(
    inputs: Sequence[str], model: str | None, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    body = {"inputs": list(inputs), "parameters": parameters, **_given(model=model or None)}
    return {"method": "POST", "json": body}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _labels_of_json(labels: list[Any]) -> list[Label]:
    return [Label(one["label"], one["score"]) for one in labels]


def _labels_of_message(labels: pb.Labels) -> list[Label]:
    return [Label(one.label, one.score) for one in labels.labels]
