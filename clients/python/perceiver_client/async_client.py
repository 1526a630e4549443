"""AsyncClient: one interface over REST and gRPC, async."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from typing import Any, Self, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from perceiver_client.base import DEFAULT_TIMEOUT_S, Base, read_files
from perceiver_client.calls import (
    FillMask,
    ImageClassification,
    ListModels,
    TextClassification,
)
from perceiver_client.frames import Chunk, Frame, read_frame
from perceiver_client.multimodal_autoencoding import (
    MultimodalAutoencoding,
    MultimodalAutoencodingMp4,
    MultimodalAutoencodingStream,
)
from perceiver_client.optical_flow import OpticalFlow, OpticalFlowStream
from perceiver_client.options import (
    ClassificationOptions,
    FillMaskOptions,
    FlowOptions,
    FlowStreamOptions,
    Image,
    MultimodalOptions,
    MultimodalStreamOptions,
    StreamOptions,
    takes,
)
from perceiver_client.results import (
    Clip,
    Fill,
    FlowField,
    Label,
    Model,
    MultimodalResult,
    Reconstruction,
)
from perceiver_client.transports import async_transport


class AsyncClient(Base):
    """The methods of Client to be awaited, in one event loop.

    Cancelling a call gives it up on the server, too.
    """

    def __init__(self, url: str, *, timeout: float = DEFAULT_TIMEOUT_S, retries: int = 2) -> None:
        super().__init__(url, timeout=timeout, retries=retries)
        self._transport = async_transport(self._url, retries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections; to be called when no call is under way."""
        if not self._closed:
            self._closed = True
            await self._transport.close()

    @overload
    async def text_classification(  # type: ignore[overload-overlap]  # a str is one text, not many
        self, inputs: str, **options: Unpack[ClassificationOptions]
    ) -> list[Label]: ...
    @overload
    async def text_classification(
        self, inputs: Sequence[str], **options: Unpack[ClassificationOptions]
    ) -> list[list[Label]]: ...
    @takes(ClassificationOptions)
    async def text_classification(self, inputs: Any, **options: Any) -> Any:
        """As Client.text_classification."""
        return await self._ask(TextClassification, inputs, **options)

    @overload
    async def fill_mask(  # type: ignore[overload-overlap]  # a str is one text, not many
        self, inputs: str, **options: Unpack[FillMaskOptions]
    ) -> list[list[Fill]]: ...
    @overload
    async def fill_mask(
        self, inputs: Sequence[str], **options: Unpack[FillMaskOptions]
    ) -> list[list[list[Fill]]]: ...
    @takes(FillMaskOptions)
    async def fill_mask(self, inputs: Any, **options: Any) -> Any:
        """As Client.fill_mask."""
        return await self._ask(FillMask, inputs, **options)

    @overload
    async def image_classification(
        self, inputs: Image, **options: Unpack[ClassificationOptions]
    ) -> list[Label]: ...
    @overload
    async def image_classification(
        self, inputs: Sequence[Image], **options: Unpack[ClassificationOptions]
    ) -> list[list[Label]]: ...
    @takes(ClassificationOptions)
    async def image_classification(self, inputs: Any, **options: Any) -> Any:
        """As Client.image_classification; files are read in a thread."""
        images = await asyncio.to_thread(read_files, inputs)
        return await self._ask(ImageClassification, images, **options)

    @takes(FlowOptions)
    async def optical_flow(
        self, frame1: Frame, frame2: Frame, **options: Unpack[FlowOptions]
    ) -> NDArray[np.float32]:
        """As Client.optical_flow; files are read in a thread."""
        pair = (
            await asyncio.to_thread(read_frame, frame1, "frame1"),
            await asyncio.to_thread(read_frame, frame2, "frame2"),
        )
        flow: NDArray[np.float32] = (await self._ask(OpticalFlow, [pair], **options))[0]
        return flow

    @takes(FlowStreamOptions, StreamOptions)
    def stream_optical_flow(
        self, frames: Iterable[Frame] | AsyncIterable[Frame], **options: Unpack[FlowStreamOptions]
    ) -> AsyncGenerator[FlowField, None]:
        """As Client.stream_optical_flow, for `async for`; frames may be an async iterable, another
        is iterated in a thread.

        Leaving the loop ends the stream soon; contextlib.aclosing ends it at once.
        """
        stream, context = self._streamed(OpticalFlowStream, **options)
        return self._transport.stream(stream, frames, context)

    @overload
    async def multimodal_autoencoding(
        self, inputs: Image, **options: Unpack[MultimodalOptions]
    ) -> Reconstruction: ...
    @overload
    async def multimodal_autoencoding(
        self, inputs: Chunk, **options: Unpack[MultimodalOptions]
    ) -> Clip: ...
    @overload
    async def multimodal_autoencoding(
        self, inputs: Sequence[Image], **options: Unpack[MultimodalOptions]
    ) -> list[Reconstruction]: ...
    @overload
    async def multimodal_autoencoding(
        self, inputs: Sequence[Chunk], **options: Unpack[MultimodalOptions]
    ) -> list[Clip]: ...
    @takes(MultimodalOptions)
    async def multimodal_autoencoding(self, inputs: Any, **options: Any) -> Any:
        """As Client.multimodal_autoencoding; files are read in a thread."""
        given = await asyncio.to_thread(read_files, inputs)
        return await self._ask(MultimodalAutoencoding, given, **options)

    @takes(MultimodalOptions)
    async def multimodal_autoencoding_mp4(
        self, video: Image, **options: Unpack[MultimodalOptions]
    ) -> bytes:
        """As Client.multimodal_autoencoding_mp4."""
        given = await asyncio.to_thread(read_files, [video])
        asked: Any = {"outputs": ("video", "audio"), **options}
        mp4: bytes = (await self._ask(MultimodalAutoencodingMp4, given, **asked))[0]
        return mp4

    @takes(MultimodalStreamOptions, StreamOptions)
    def stream_multimodal_autoencoding(
        self,
        chunks: Iterable[Chunk] | AsyncIterable[Chunk],
        **options: Unpack[MultimodalStreamOptions],
    ) -> AsyncGenerator[MultimodalResult, None]:
        """As Client.stream_multimodal_autoencoding and AsyncClient.stream_optical_flow."""
        stream, context = self._streamed(MultimodalAutoencodingStream, **options)
        return self._transport.stream(stream, chunks, context)

    async def models(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # the server is told of it, too
    ) -> list[Model]:
        """As Client.models."""
        return await self._transport.answer(ListModels(), self._begin(timeout))

    async def _ask(self, task: type[Any], inputs: Any, **options: Any) -> Any:
        call, single, context = self._prepared(task, inputs, **options)
        return self._picked(await self._transport.answer(call, context), call, single, context)
