"""Bytes that are no message, or a message changed a little: refused by its kind, never worse."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protos.perceiver.v1 import perceiver_pb2 as pb
from server.errors import KINDS
from server.rpc.wire import has_more_fields
from tests.live_server import LiveServer
from tests.server.pictures import encoded
from tests.server.rpc_calls import IMAGE, MASK, TEXT, channel_to, of_error


@pytest.fixture(scope="module")
def channel(live: LiveServer) -> Any:
    with channel_to(live) as channel:
        yield channel


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (b"", 0),
        (TEXT(inputs=["a", "", "b" * 300], top_k=1, model="m").SerializeToString(), 5),
        (b"\x12\0" * 1000, 1000),
        (b"\x09" + b"\0" * 8 + b"\x0d" + b"\0" * 4 + b"\x08\x96\x01", 3),
        (b"\x12" + b"\xff" * 20, 1),
        (b"\xff" * 20, 1),
    ],
)
def test_fields_are_counted_to_the_limit(message: bytes, fields: int) -> None:
    assert not has_more_fields(message, TEXT.DESCRIPTOR, fields)
    assert fields == 0 or has_more_fields(message, TEXT.DESCRIPTOR, fields - 1)


VALID = [
    TEXT(inputs=["hello", "you"], top_k=2, function_to_apply=pb.FUNCTION_TO_APPLY_SIGMOID),
    MASK(inputs=["a [MASK][MASK] b"], top_k=2, targets=["xy"]),
    IMAGE(inputs=[encoded("PNG", (8, 8))], top_k=2),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid message with bytes changed, cut out, put in twice, or nested in groups."""
    message = bytearray(draw(st.sampled_from(VALID)).SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(message) - 1)))
        match draw(st.integers(0, 4)):
            case 0 if message:
                message[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del message[at:]
            case 2:
                message[at:at] = draw(st.binary(max_size=8))
            case 3:
                message += message[at:]
            case 4:
                message[at:at] = b"\x0b" * draw(st.sampled_from([1, 100, 10_000]))
    return bytes(message)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated(), st.sampled_from(["TextClassification", "FillMask", "ImageClassification"]))
def test_no_bytes_do_harm(live: LiveServer, channel: Any, message: bytes, name: str) -> None:
    try:
        channel.unary_unary(f"/perceiver.v1.Perceiver/{name}")(message)
    except grpc.RpcError as error:
        status, code, sentence = of_error(error)
        named = status == "NOT_FOUND" and code == "unknown_model"  # the model's name was hit
        assert named or status in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"), (code, sentence)
        assert code in KINDS
    assert live.process.poll() is None
