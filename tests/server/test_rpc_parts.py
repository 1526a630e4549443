"""Answers in parts: they are what protobuf would write, and large ones let others run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from perceiver_core.pipelines.optical_flow import Flow
from protos.perceiver.v1 import perceiver_pb2 as pb
from server.rpc.flow import ENCODINGS, Options
from server.rpc.parts import PIECE, as_field, joined

NOBODY: Any = None  # a media pool that is not asked


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 3 * PIECE])
async def test_fields_are_what_protobuf_writes(size: int) -> None:
    content = bytes(size)
    small = pb.Flow(height=3, width=5).SerializeToString()
    flow = [small, *as_field(pb.Flow, "data", [content[:7], content[7:]])]
    written = await joined([*as_field(pb.OpticalFlowResponse, "results", flow)] * 2)
    expected = pb.Flow(height=3, width=5, data=content)
    assert pb.OpticalFlowResponse.FromString(written) == pb.OpticalFlowResponse(
        results=[expected, expected]
    )


@pytest.mark.parametrize("encoding", [one for one in ENCODINGS if one != pb.FLOW_ENCODING_PNG])
async def test_nothing_large_is_copied_at_once(encoding: Any) -> None:
    flow = np.random.default_rng(0).random((1024, 700, 2), np.float32)
    asked = Options.of(pb.FlowOptions(encoding=encoding))
    [parts] = await asked.render([Flow(flow)], NOBODY)
    assert max(map(len, parts)) <= PIECE < sum(map(len, parts))
    read = pb.Flow.FromString(b"".join(parts))
    assert (read.height, read.width, read.encoding) == (1024, 700, encoding)
    kind = "<f2" if encoding == pb.FLOW_ENCODING_FLOAT16 else "<f4"
    found = np.frombuffer(read.data, kind)[-flow.size :].reshape(flow.shape)
    np.testing.assert_allclose(found, flow, atol=1e-3)


@contextmanager
def nobody_is_interrupted() -> Iterator[None]:
    """A thread runs until it lets others run."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(100)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


async def test_to_join_a_large_answer_lets_others_run() -> None:
    parts = [bytes(PIECE)] * 32

    async def turns() -> int:
        """How often the loop goes round meanwhile: a few times where it is held up, unless the
        thread was late to begin."""
        joining = asyncio.create_task(joined(parts))
        count = 0
        while not joining.done():
            await asyncio.sleep(0)
            count += 1
        return count

    with nobody_is_interrupted():
        found = sorted([await turns() for _ in range(10)])
    assert found[2] > 100, found
