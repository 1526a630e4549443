"""An RPC that streams: every message is an item of its own, every answer says which one it is of.

What is wrong with one message is answered in the stream, which goes on.  What cannot be a message,
options that nothing could satisfy, and a stream that stands still end it with a status.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from protos.perceiver.v1 import perceiver_pb2 as pb
from server.engine import Engine
from server.errors import Fault
from server.rpc import clips, flow, frames
from server.rpc.calls import Serve
from server.rpc.errors import PROTOCOL, Context, gone, in_band
from server.rpc.parts import Parts, as_field, fitting, joined
from server.rpc.patience import Patience
from server.rpc.wire import SMALL_FIELDS, parse
from server.streams import Outcome, Stream


@dataclass(frozen=True)
class StreamRpc:
    """One task as a stream."""

    name: str
    task: str
    message: type[Message]
    answer: type[Any]  # a message
    result: str  # the field of an answer that holds what came out
    options: Callable[[Any], Any]  # of the first message
    source: Callable[[Any, Engine], Any]  # of the options; its `next` makes items of messages
    weight: Callable[[Any], int]  # bytes of an item
    fields: int  # of a message


STREAMS = (
    StreamRpc(
        "StreamOpticalFlow",
        "optical-flow",
        pb.FlowFrame,
        pb.FlowField,
        "flow",
        flow.Options.of,
        frames.Frames,
        lambda pair: int(pair.weight),
        SMALL_FIELDS,
    ),
    StreamRpc(
        "StreamMultimodalAutoencoding",
        "multimodal-autoencoding",
        pb.MediaChunk,
        pb.MultimodalResult,
        "clip",
        clips.Options.of,
        clips.Chunks,
        lambda chunk: int(chunk.chunk.ByteSize()),
        SMALL_FIELDS + clips.FIELDS,
    ),
)


def stream(engine: Engine, patience: Patience, rpc: StreamRpc) -> Serve:
    """How a stream is served."""

    async def serve(context: Context, request_id: str) -> None:
        engine.check_open()
        await _Call(engine, patience, rpc, context, request_id).serve()

    return serve


@dataclass
class _Call:
    """One stream.  Messages and answers are megabytes: none is kept while another is waited for."""

    engine: Engine
    patience: Patience
    rpc: StreamRpc
    context: Context
    request_id: str
    outcomes: Stream = field(init=False)
    numbers: deque[int] = field(default_factory=deque)  # of the messages that are to be answered

    async def serve(self) -> None:
        rpc, engine = self.rpc, self.engine
        first = self._read(await self.patience.receive(self.context))
        left_s: float | None = self.context.time_remaining()  # None: the call has no deadline
        asked = rpc.options(first.options)
        pipeline = await engine.pipeline(rpc.task, asked.model or None)
        pipeline.check(asked.without_media())
        self.context.set_trailing_metadata((("x-request-id", self.request_id),))
        self.outcomes = outcomes = engine.stream(
            rpc.task,
            self._items(rpc.source(asked, engine), first),
            weight=rpc.weight,
            model=asked.model or None,
            timeout_ms=None if left_s is None else left_s * 1000,
            protocol=PROTOCOL,
            request_id=self.request_id,
            render=lambda outputs: self._render(asked, outputs),
        )
        del first
        try:
            await self._write(outcomes)
        except asyncio.CancelledError:
            await outcomes.close(late=gone(self.context, left_s).code == "deadline")
            raise
        finally:
            await outcomes.close()

    async def _items(self, source: Any, message: Any) -> AsyncGenerator[Any, None]:
        """What the messages make; what is wrong with one is its item."""
        for number in itertools.count():
            try:
                with self.outcomes.clock.stopped():
                    item = await source.next(number, message)
            except Fault as fault:
                item = fault
            message = None
            if item is not None:
                self.numbers.append(number)
                yield item
            item = None
            received: Any = await self.context.read()
            if not isinstance(received, bytes):
                return
            message, received = self._read(received), None

    def _read(self, message: bytes) -> Any:
        limit = self.engine.settings.max_message_bytes
        return parse(message, self.rpc.message, max_bytes=limit, max_fields=self.rpc.fields)

    async def _render(self, asked: Any, outputs: list[Any]) -> Parts:
        """An answer but for what tells which one it is."""
        [result] = await asked.render(outputs, self.engine.media)
        written = as_field(self.rpc.answer, self.rpc.result, result)
        longest = self._head(2**64 - 1, 2**32 - 1)
        fitting([longest, *written], self.engine.settings.max_message_bytes)
        return written

    def _head(self, number: int, batch_size: int) -> bytes:
        head: bytes = self.rpc.answer(index=number, batch_size=batch_size).SerializeToString()
        return head

    async def _write(self, outcomes: Stream) -> None:
        async for outcome in outcomes:
            answer = await self._answer(self.numbers.popleft(), outcome)
            del outcome
            with self.patience.reading(self.context):
                await self.context.write(answer)
            del answer

    async def _answer(self, number: int, outcome: Outcome) -> bytes:
        if isinstance(outcome, Fault):
            error = in_band(self.engine, outcome, self.request_id, number)
            answer: bytes = self.rpc.answer(index=number, error=error).SerializeToString()
            return answer
        return await joined([self._head(number, outcome.batch_size), *outcome.outputs])
