"""Multimodal autoencoding: of video files over REST, of chunks over gRPC."""

from __future__ import annotations

import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from perceiver_client import perceiver_pb2 as pb
from perceiver_client.call import form_post, given
from perceiver_client.calls import labels_of_json, labels_of_message
from perceiver_client.checks import check_files, check_options, check_outputs
from perceiver_client.errors import PerceiverError
from perceiver_client.frames import Chunk, chunk_message
from perceiver_client.options import Modality
from perceiver_client.results import Clip, MultimodalResult, Reconstruction

FILES_GO_OVER_REST = "a video file goes over REST: ask a Client of http://HOST:PORT, or give Chunks"
CHUNKS_GO_OVER_GRPC = "Chunks go over gRPC: ask a Client of grpc://HOST:PORT, or give a video file"
_MODALITIES = {
    "label": pb.MODALITY_LABEL,
    "video": pb.MODALITY_VIDEO,
    "audio": pb.MODALITY_AUDIO,
}


@dataclass(frozen=True)
class _Wanted:
    """What all take."""

    outputs: Sequence[Modality] = ("label",)
    top_k: int | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        check_options(self.model, self.top_k)
        check_outputs(self.outputs)

    def _options(self) -> pb.MultimodalOptions:
        outputs = [_MODALITIES[one] for one in self.outputs]
        return pb.MultimodalOptions(model=self.model, outputs=outputs, top_k=self.top_k)

    def _clip(self, clip: pb.Clip) -> Clip:
        """Of a chunk, which begins when it begins; ValueError where arrays are not as they say."""
        return Clip(
            0.0,
            labels_of_message(clip) if "label" in self.outputs else None,
            _video(clip.video) if "video" in self.outputs else None,
            _samples(clip.audio) if "audio" in self.outputs else None,
        )


@dataclass(frozen=True)
class MultimodalAutoencoding(_Wanted):
    """Video files -> per file a Reconstruction, a request each; or Chunks -> per chunk a Clip."""

    path: ClassVar[str] = "/v1/multimodal-autoencoding"
    accept: ClassVar[str] = "application/json"
    rpc: ClassVar[str] = "MultimodalAutoencoding"
    reply: ClassVar[type[Message]] = pb.MultimodalAutoencodingResponse
    heavy: ClassVar[bool] = True

    inputs: Sequence[bytes | Chunk] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_files(self.inputs, bytes | Chunk, "bytes, a pathlib.Path or a Chunk", "video")

    def requests(self) -> list[dict[str, Any]]:
        files = [one for one in self.inputs if isinstance(one, bytes)]
        if len(files) < len(self.inputs):
            raise PerceiverError("invalid_input", CHUNKS_GO_OVER_GRPC)
        parameters = given(outputs=list(self.outputs), top_k=self.top_k)
        return [form_post({"file": video}, self.model, parameters) for video in files]

    def parse(self, body: bytes) -> Any:
        answer = json.loads(body)
        return Reconstruction(
            [
                Clip(
                    one["start"],
                    labels_of_json(one["labels"]) if one.get("labels") is not None else None,
                    _array(one.get("video")),
                    _array(one.get("audio")),
                )
                for one in answer["clips"]
            ],
            answer["frame_rate"],
            answer["sample_rate"],
        )

    def from_http(self, replies: list[Any]) -> list[Any]:
        return replies

    def message(self) -> Message:
        chunks = [one for one in self.inputs if isinstance(one, Chunk)]
        if len(chunks) < len(self.inputs):
            raise PerceiverError("invalid_input", FILES_GO_OVER_REST)
        messages = map(chunk_message, chunks)
        return pb.MultimodalAutoencodingRequest(options=self._options(), inputs=messages)

    def from_reply(self, reply: pb.MultimodalAutoencodingResponse) -> list[Clip]:
        return [self._clip(clip) for clip in reply.results]


class MultimodalAutoencodingMp4(MultimodalAutoencoding):
    """Video files -> per file its reconstruction, as an MP4 file."""

    accept: ClassVar[str] = "video/mp4"

    def parse(self, body: bytes) -> bytes:
        return body


@dataclass(frozen=True)
class MultimodalAutoencodingStream(_Wanted):
    """Chunks -> a MultimodalResult for each."""

    rpc: ClassVar[str] = "StreamMultimodalAutoencoding"
    reply: ClassVar[type[Message]] = pb.MultimodalResult
    unanswered: ClassVar[int] = 0

    def message(self, chunk: Chunk, index: int) -> Message:
        """The message that carries the chunk with this index."""
        options = None if index else self._options()
        return pb.MediaChunk(options=options, chunk=chunk_message(chunk))

    def answer(self, reply: pb.MultimodalResult) -> MultimodalResult:
        if reply.WhichOneof("answer") == "error":
            error = PerceiverError(reply.error.code, reply.error.message)
            return MultimodalResult(reply.index, reply.batch_size, error, None)
        return MultimodalResult(reply.index, reply.batch_size, None, self._clip(reply.clip))


def _video(video: pb.Video) -> NDArray[np.uint8]:
    pixels = np.frombuffer(video.rgb, np.uint8).copy()
    return pixels.reshape(video.frames, video.height, video.width, 3)


def _samples(audio: bytes) -> NDArray[np.float32]:
    return np.frombuffer(audio, "<f4").astype(np.float32)


def _array(found: dict[str, Any] | None) -> Any:
    """An array of the JSON answer: uint8 or float32."""
    if found is None:
        return None
    theirs, ours = {"uint8": ("u1", np.uint8), "float32": ("<f4", np.float32)}[found["dtype"]]
    numbers = np.frombuffer(binascii.a2b_base64(found["data"]), theirs)
    return numbers.astype(ours).reshape(found["shape"])
