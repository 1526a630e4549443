"""The JSON bodies of REST v1, as types.  They validate requests and make the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

MOST = 1_000_000  # of a number: no answer is as large, and children are sent 64 bits at most
TopK = Annotated[int, Field(ge=1, le=MOST)]
Pixels = Annotated[int, Field(ge=0, le=MOST)]


def _one_or_many(value: object) -> str | None:
    if isinstance(value, str):
        return "one"
    return "many" if isinstance(value, list) else None


Texts = Annotated[
    Annotated[str, Tag("one")] | Annotated[list[str], Field(min_length=1), Tag("many")],
    Discriminator(
        _one_or_many,
        custom_error_type="one_or_many",
        custom_error_message="a string or a list of strings",
    ),
]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class ClassificationParameters(_Body):
    """How a classification is answered; null means the default."""

    top_k: TopK | None = Field(None, description="How many labels, best first; 5 if not given.")
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = Field(
        None, description="What turns logits into scores; softmax if not given."
    )


class FillMaskParameters(_Body):
    """How masked text is filled; null means the default."""

    top_k: TopK | None = Field(
        None, description="How many candidates per span, best first; 5 if not given."
    )
    targets: list[str] | None = Field(
        None, description="Score these strings only; each as many bytes as the span has masks."
    )


class OpticalFlowParameters(_Body):
    """Where flow is wanted; null means everywhere."""

    region: Annotated[list[Pixels], Field(min_length=4, max_length=4)] | None = Field(
        None, description="[top, left, height, width] in pixels; the whole frame if not given."
    )
    stride: Annotated[int, Field(ge=1, le=MOST)] | None = Field(
        None, description="Every n-th pixel of the region, both ways; 1 if not given."
    )


class MultimodalAutoencodingParameters(_Body):
    """What of a video is wanted; null means the default."""

    outputs: (
        Annotated[list[Literal["label", "video", "audio"]], Field(min_length=1, max_length=3)]
        | None
    ) = Field(None, description="label if not given; video and audio for an answer as video/mp4.")
    top_k: TopK | None = Field(
        None, description="How many labels per clip, best first; 5 if not given."
    )


class _Request(_Body):
    model: str | None = Field(None, description="A name from /v1/models; default: the task's own.")
    options: Any = Field(None, description="Accepted and ignored (older Hugging Face clients).")


class TextClassificationRequest(_Request):
    inputs: Texts = Field(description="The text, or a list of texts.")
    parameters: ClassificationParameters | None = None


class FillMaskRequest(_Request):
    inputs: Texts = Field(description="Text with [MASK]s, one per missing byte, or a list of such.")
    parameters: FillMaskParameters | None = None


class ImageClassificationRequest(_Request):
    inputs: str = Field(description="The image file, base64, or a data: URL.")
    parameters: ClassificationParameters | None = None


class Frames(_Body):
    """Two image files of one size."""

    frame1: str = Field(description="The first, base64, or a data: URL.")
    frame2: str = Field(description="The second.")


class OpticalFlowRequest(_Request):
    inputs: Frames
    parameters: OpticalFlowParameters | None = None


class MultimodalAutoencodingRequest(_Request):
    inputs: str = Field(description="The video file, base64, or a data: URL.")
    parameters: MultimodalAutoencodingParameters | None = None


class LabelAnswer(BaseModel):
    """One label with its score."""

    label: str
    score: float


class FillAnswer(BaseModel):
    """One candidate for one span of masks."""

    sequence: str = Field(description="The text with this span filled.")
    score: float = Field(description="Product of the bytes' probabilities.")
    token: int = Field(description="Id of the first byte.")
    token_str: str = Field(description="The bytes of the span, as text.")
    tokens: list[int] = Field(description="Ids of all bytes of the span.")


class ArrayAnswer(BaseModel):
    """An array of numbers."""

    shape: list[int]
    dtype: Literal["float32", "uint8"]
    data: str = Field(
        description="The numbers, the last index fastest, little-endian, as base64.",
        json_schema_extra={"format": "byte"},
    )


class OpticalFlowAnswer(BaseModel):
    """How far each pixel of the first frame moves."""

    flow: ArrayAnswer = Field(
        description="float32 (height, width, 2): pixels to the right, and down."
    )
    mean_magnitude: float = Field(description="Mean length of the movements, in pixels.")
    max_magnitude: float = Field(description="Length of the longest, in pixels.")


class ClipAnswer(BaseModel):
    """One clip, with what was asked of it."""

    start: float = Field(description="In seconds.")
    labels: list[LabelAnswer] | None = Field(None, description="Best first.")
    video: ArrayAnswer | None = Field(None, description="uint8 (frames, height, width, 3), RGB.")
    audio: ArrayAnswer | None = Field(None, description="float32 (samples,) in [-1, 1].")


class MultimodalAutoencodingAnswer(BaseModel):
    """The clips of a video, in order."""

    frame_rate: int = Field(description="Frames a second.")
    sample_rate: int = Field(description="Samples a second.")
    clips: list[ClipAnswer]


class ErrorAnswer(BaseModel):
    """Every error, of every path."""

    error: str = Field(description="A sentence one can act on.")
    code: str = Field(description="A machine-readable code that stays the same.")
