from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FunctionToApply(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FUNCTION_TO_APPLY_UNSPECIFIED: _ClassVar[FunctionToApply]
    FUNCTION_TO_APPLY_SOFTMAX: _ClassVar[FunctionToApply]
    FUNCTION_TO_APPLY_SIGMOID: _ClassVar[FunctionToApply]
    FUNCTION_TO_APPLY_NONE: _ClassVar[FunctionToApply]

class FlowEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FLOW_ENCODING_UNSPECIFIED: _ClassVar[FlowEncoding]
    FLOW_ENCODING_FLOAT32: _ClassVar[FlowEncoding]
    FLOW_ENCODING_FLOAT16: _ClassVar[FlowEncoding]
    FLOW_ENCODING_FLO: _ClassVar[FlowEncoding]
    FLOW_ENCODING_PNG: _ClassVar[FlowEncoding]

class Modality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODALITY_UNSPECIFIED: _ClassVar[Modality]
    MODALITY_LABEL: _ClassVar[Modality]
    MODALITY_VIDEO: _ClassVar[Modality]
    MODALITY_AUDIO: _ClassVar[Modality]
FUNCTION_TO_APPLY_UNSPECIFIED: FunctionToApply
FUNCTION_TO_APPLY_SOFTMAX: FunctionToApply
FUNCTION_TO_APPLY_SIGMOID: FunctionToApply
FUNCTION_TO_APPLY_NONE: FunctionToApply
FLOW_ENCODING_UNSPECIFIED: FlowEncoding
FLOW_ENCODING_FLOAT32: FlowEncoding
FLOW_ENCODING_FLOAT16: FlowEncoding
FLOW_ENCODING_FLO: FlowEncoding
FLOW_ENCODING_PNG: FlowEncoding
MODALITY_UNSPECIFIED: Modality
MODALITY_LABEL: Modality
MODALITY_VIDEO: Modality
MODALITY_AUDIO: Modality

class Label(_message.Message):
    __slots__ = ("label", "score")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    label: str
    score: float
    def __init__(self, label: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class Labels(_message.Message):
    __slots__ = ("labels",)
    LABELS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    def __init__(self, labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ...) -> None: ...

class TextClassificationRequest(_message.Message):
    __slots__ = ("model", "inputs", "top_k", "function_to_apply")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_TO_APPLY_FIELD_NUMBER: _ClassVar[int]
    model: str
    inputs: _containers.RepeatedScalarFieldContainer[str]
    top_k: int
    function_to_apply: FunctionToApply
    def __init__(self, model: _Optional[str] = ..., inputs: _Optional[_Iterable[str]] = ..., top_k: _Optional[int] = ..., function_to_apply: _Optional[_Union[FunctionToApply, str]] = ...) -> None: ...

class TextClassificationResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[Labels]
    def __init__(self, results: _Optional[_Iterable[_Union[Labels, _Mapping]]] = ...) -> None: ...

class FillMaskRequest(_message.Message):
    __slots__ = ("model", "inputs", "top_k", "targets")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    model: str
    inputs: _containers.RepeatedScalarFieldContainer[str]
    top_k: int
    targets: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., inputs: _Optional[_Iterable[str]] = ..., top_k: _Optional[int] = ..., targets: _Optional[_Iterable[str]] = ...) -> None: ...

class FillMaskResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[Spans]
    def __init__(self, results: _Optional[_Iterable[_Union[Spans, _Mapping]]] = ...) -> None: ...

class Spans(_message.Message):
    __slots__ = ("spans",)
    SPANS_FIELD_NUMBER: _ClassVar[int]
    spans: _containers.RepeatedCompositeFieldContainer[Fills]
    def __init__(self, spans: _Optional[_Iterable[_Union[Fills, _Mapping]]] = ...) -> None: ...

class Fills(_message.Message):
    __slots__ = ("fills",)
    FILLS_FIELD_NUMBER: _ClassVar[int]
    fills: _containers.RepeatedCompositeFieldContainer[Fill]
    def __init__(self, fills: _Optional[_Iterable[_Union[Fill, _Mapping]]] = ...) -> None: ...

class Fill(_message.Message):
    __slots__ = ("sequence", "score", "token", "token_str", "tokens")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_STR_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    sequence: str
    score: float
    token: int
    token_str: str
    tokens: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, sequence: _Optional[str] = ..., score: _Optional[float] = ..., token: _Optional[int] = ..., token_str: _Optional[str] = ..., tokens: _Optional[_Iterable[int]] = ...) -> None: ...

class ImageClassificationRequest(_message.Message):
    __slots__ = ("model", "inputs", "top_k", "function_to_apply")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_TO_APPLY_FIELD_NUMBER: _ClassVar[int]
    model: str
    inputs: _containers.RepeatedScalarFieldContainer[bytes]
    top_k: int
    function_to_apply: FunctionToApply
    def __init__(self, model: _Optional[str] = ..., inputs: _Optional[_Iterable[bytes]] = ..., top_k: _Optional[int] = ..., function_to_apply: _Optional[_Union[FunctionToApply, str]] = ...) -> None: ...

class ImageClassificationResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[Labels]
    def __init__(self, results: _Optional[_Iterable[_Union[Labels, _Mapping]]] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("file", "raw")
    FILE_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    file: bytes
    raw: RawImage
    def __init__(self, file: _Optional[bytes] = ..., raw: _Optional[_Union[RawImage, _Mapping]] = ...) -> None: ...

class RawImage(_message.Message):
    __slots__ = ("height", "width", "rgb")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    RGB_FIELD_NUMBER: _ClassVar[int]
    height: int
    width: int
    rgb: bytes
    def __init__(self, height: _Optional[int] = ..., width: _Optional[int] = ..., rgb: _Optional[bytes] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("top", "left", "height", "width")
    TOP_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    top: int
    left: int
    height: int
    width: int
    def __init__(self, top: _Optional[int] = ..., left: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ...) -> None: ...

class FlowOptions(_message.Message):
    __slots__ = ("model", "region", "stride", "encoding")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    model: str
    region: Region
    stride: int
    encoding: FlowEncoding
    def __init__(self, model: _Optional[str] = ..., region: _Optional[_Union[Region, _Mapping]] = ..., stride: _Optional[int] = ..., encoding: _Optional[_Union[FlowEncoding, str]] = ...) -> None: ...

class FramePair(_message.Message):
    __slots__ = ("frame1", "frame2")
    FRAME1_FIELD_NUMBER: _ClassVar[int]
    FRAME2_FIELD_NUMBER: _ClassVar[int]
    frame1: Image
    frame2: Image
    def __init__(self, frame1: _Optional[_Union[Image, _Mapping]] = ..., frame2: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class OpticalFlowRequest(_message.Message):
    __slots__ = ("options", "inputs")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    options: FlowOptions
    inputs: _containers.RepeatedCompositeFieldContainer[FramePair]
    def __init__(self, options: _Optional[_Union[FlowOptions, _Mapping]] = ..., inputs: _Optional[_Iterable[_Union[FramePair, _Mapping]]] = ...) -> None: ...

class OpticalFlowResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[Flow]
    def __init__(self, results: _Optional[_Iterable[_Union[Flow, _Mapping]]] = ...) -> None: ...

class Flow(_message.Message):
    __slots__ = ("height", "width", "encoding", "data")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    height: int
    width: int
    encoding: FlowEncoding
    data: bytes
    def __init__(self, height: _Optional[int] = ..., width: _Optional[int] = ..., encoding: _Optional[_Union[FlowEncoding, str]] = ..., data: _Optional[bytes] = ...) -> None: ...

class FlowFrame(_message.Message):
    __slots__ = ("options", "frame")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    options: FlowOptions
    frame: Image
    def __init__(self, options: _Optional[_Union[FlowOptions, _Mapping]] = ..., frame: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class FlowField(_message.Message):
    __slots__ = ("index", "flow", "error", "batch_size")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    index: int
    flow: Flow
    error: Error
    batch_size: int
    def __init__(self, index: _Optional[int] = ..., flow: _Optional[_Union[Flow, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., batch_size: _Optional[int] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class MultimodalOptions(_message.Message):
    __slots__ = ("model", "outputs", "top_k")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    model: str
    outputs: _containers.RepeatedScalarFieldContainer[Modality]
    top_k: int
    def __init__(self, model: _Optional[str] = ..., outputs: _Optional[_Iterable[_Union[Modality, str]]] = ..., top_k: _Optional[int] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("frames", "audio")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[Image]
    audio: bytes
    def __init__(self, frames: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class MultimodalAutoencodingRequest(_message.Message):
    __slots__ = ("options", "inputs")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    options: MultimodalOptions
    inputs: _containers.RepeatedCompositeFieldContainer[Chunk]
    def __init__(self, options: _Optional[_Union[MultimodalOptions, _Mapping]] = ..., inputs: _Optional[_Iterable[_Union[Chunk, _Mapping]]] = ...) -> None: ...

class MultimodalAutoencodingResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[Clip]
    def __init__(self, results: _Optional[_Iterable[_Union[Clip, _Mapping]]] = ...) -> None: ...

class Clip(_message.Message):
    __slots__ = ("labels", "video", "audio")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    video: Video
    audio: bytes
    def __init__(self, labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., video: _Optional[_Union[Video, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class Video(_message.Message):
    __slots__ = ("frames", "height", "width", "rgb")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    RGB_FIELD_NUMBER: _ClassVar[int]
    frames: int
    height: int
    width: int
    rgb: bytes
    def __init__(self, frames: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., rgb: _Optional[bytes] = ...) -> None: ...

class MediaChunk(_message.Message):
    __slots__ = ("options", "chunk")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    options: MultimodalOptions
    chunk: Chunk
    def __init__(self, options: _Optional[_Union[MultimodalOptions, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ...) -> None: ...

class MultimodalResult(_message.Message):
    __slots__ = ("index", "clip", "error", "batch_size")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CLIP_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    index: int
    clip: Clip
    error: Error
    batch_size: int
    def __init__(self, index: _Optional[int] = ..., clip: _Optional[_Union[Clip, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., batch_size: _Optional[int] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "task", "source", "state", "default", "resident_bytes", "problem", "format")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    name: str
    task: str
    source: str
    state: str
    default: bool
    resident_bytes: int
    problem: str
    format: Format
    def __init__(self, name: _Optional[str] = ..., task: _Optional[str] = ..., source: _Optional[str] = ..., state: _Optional[str] = ..., default: _Optional[bool] = ..., resident_bytes: _Optional[int] = ..., problem: _Optional[str] = ..., format: _Optional[_Union[Format, _Mapping]] = ...) -> None: ...

class Format(_message.Message):
    __slots__ = ("frames", "height", "width", "samples", "frame_rate", "sample_rate")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    FRAME_RATE_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_FIELD_NUMBER: _ClassVar[int]
    frames: int
    height: int
    width: int
    samples: int
    frame_rate: int
    sample_rate: int
    def __init__(self, frames: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., samples: _Optional[int] = ..., frame_rate: _Optional[int] = ..., sample_rate: _Optional[int] = ...) -> None: ...
