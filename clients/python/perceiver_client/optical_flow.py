"""Optical flow, of a pair of frames and of a stream of them, in both dialects."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from perceiver_client import perceiver_pb2 as pb
from perceiver_client.call import form_post, given
from perceiver_client.checks import check_number, check_options, check_region
from perceiver_client.errors import PerceiverError
from perceiver_client.frames import Frame, Read, image_file, image_message, read_frame
from perceiver_client.options import Region
from perceiver_client.results import FlowField

Field = NDArray[np.float32]


@dataclass(frozen=True)
class _Wanted:
    """What both take."""

    region: Region | None = None
    stride: int | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        check_options(self.model)
        check_number(self.stride, "stride")
        check_region(self.region)

    def _options(self) -> pb.FlowOptions:
        region = None
        if self.region is not None:
            top, left, height, width = self.region
            region = pb.Region(top=top, left=left, height=height, width=width)
        return pb.FlowOptions(
            model=self.model,
            region=region,
            stride=self.stride,
            encoding=pb.FLOW_ENCODING_FLOAT32,
        )


@dataclass(frozen=True)
class OpticalFlow(_Wanted):
    """Pairs of frames -> per pair the flow; REST takes one pair per request."""

    path: ClassVar[str] = "/v1/optical-flow"
    accept: ClassVar[str] = "application/x-npy"
    rpc: ClassVar[str] = "OpticalFlow"
    reply: ClassVar[type[Message]] = pb.OpticalFlowResponse
    heavy: ClassVar[bool] = True

    inputs: Sequence[tuple[Read, Read]] = ()

    def requests(self) -> list[dict[str, Any]]:
        parameters = given(region=self.region, stride=self.stride)
        pairs = ({"frame1": image_file(one), "frame2": image_file(two)} for one, two in self.inputs)
        return [form_post(pair, self.model, parameters) for pair in pairs]

    def parse(self, body: bytes) -> Field:
        flow = np.lib.format.read_array(io.BytesIO(body), allow_pickle=False)
        if flow.dtype != np.dtype("<f4") or flow.ndim != 3 or flow.shape[2] != 2:
            raise ValueError
        return flow.astype(np.float32, copy=False)

    def from_http(self, replies: list[Any]) -> list[Field]:
        return replies

    def message(self) -> Message:
        pairs = [
            pb.FramePair(frame1=image_message(frame1), frame2=image_message(frame2))
            for frame1, frame2 in self.inputs
        ]
        return pb.OpticalFlowRequest(options=self._options(), inputs=pairs)

    def from_reply(self, reply: pb.OpticalFlowResponse) -> list[Field]:
        return [_field(flow) for flow in reply.results]


@dataclass(frozen=True)
class OpticalFlowStream(_Wanted):
    """Frames -> from the second on, a FlowField for each."""

    rpc: ClassVar[str] = "StreamOpticalFlow"
    reply: ClassVar[type[Message]] = pb.FlowField
    unanswered: ClassVar[int] = 1

    def message(self, frame: Frame, index: int) -> Message:
        """The message that carries the frame with this index."""
        image = image_message(read_frame(frame, f"frame {index}"))
        return pb.FlowFrame(options=None if index else self._options(), frame=image)

    def answer(self, reply: pb.FlowField) -> FlowField:
        if reply.WhichOneof("answer") == "error":
            error = PerceiverError(reply.error.code, reply.error.message)
            return FlowField(reply.index, reply.batch_size, error, None)
        return FlowField(reply.index, reply.batch_size, None, _field(reply.flow))


def _field(flow: pb.Flow) -> Field:
    """ValueError where the bytes are not what was asked for."""
    if flow.encoding != pb.FLOW_ENCODING_FLOAT32:
        raise ValueError
    numbers = np.frombuffer(flow.data, "<f4").astype(np.float32)  # a copy: theirs cannot be written
    return numbers.reshape(flow.height, flow.width, 2)
