"""Client: one interface over REST and gRPC, blocking."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
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
from perceiver_client.transports import blocking_transport


class Client(Base):
    """Calls that block.  Threads may share one client; after a fork, make another.

        with Client("http://127.0.0.1:8000") as client:
            best = client.text_classification("Dove posso trovare una libreria?")[0]

    A task takes one input and gives its answer, or a sequence of inputs and gives a list of
    answers.  What goes wrong is a PerceiverError; perceiver_client.errors has the table of codes.
    """

    def __init__(self, url: str, *, timeout: float = DEFAULT_TIMEOUT_S, retries: int = 2) -> None:
        super().__init__(url, timeout=timeout, retries=retries)
        self._transport = blocking_transport(self._url, retries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections; a call that another thread is in gets PerceiverError cancelled."""
        if not self._closed:
            self._closed = True
            self._transport.close()

    @overload
    def text_classification(  # type: ignore[overload-overlap]  # a str is one text, not many
        self, inputs: str, **options: Unpack[ClassificationOptions]
    ) -> list[Label]: ...
    @overload
    def text_classification(
        self, inputs: Sequence[str], **options: Unpack[ClassificationOptions]
    ) -> list[list[Label]]: ...
    @takes(ClassificationOptions)
    def text_classification(self, inputs: Any, **options: Any) -> Any:
        """The labels of a text, best first."""
        return self._ask(TextClassification, inputs, **options)

    @overload
    def fill_mask(  # type: ignore[overload-overlap]  # a str is one text, not many
        self, inputs: str, **options: Unpack[FillMaskOptions]
    ) -> list[list[Fill]]: ...
    @overload
    def fill_mask(
        self, inputs: Sequence[str], **options: Unpack[FillMaskOptions]
    ) -> list[list[list[Fill]]]: ...
    @takes(FillMaskOptions)
    def fill_mask(self, inputs: Any, **options: Any) -> Any:
        """The fillings of a text: a list per span of `[MASK]`s, best first."""
        return self._ask(FillMask, inputs, **options)

    @overload
    def image_classification(
        self, inputs: Image, **options: Unpack[ClassificationOptions]
    ) -> list[Label]: ...
    @overload
    def image_classification(
        self, inputs: Sequence[Image], **options: Unpack[ClassificationOptions]
    ) -> list[list[Label]]: ...
    @takes(ClassificationOptions)
    def image_classification(self, inputs: Any, **options: Any) -> Any:
        """The labels of an image file, given as its bytes or its path, best first.

        Several images go as one message over gRPC, and as a request each over REST, eight at a
        time.  OSError where a file cannot be read.
        """
        return self._ask(ImageClassification, read_files(inputs), **options)

    @takes(FlowOptions)
    def optical_flow(
        self, frame1: Frame, frame2: Frame, **options: Unpack[FlowOptions]
    ) -> NDArray[np.float32]:
        """How far each pixel of frame1 moves to where it is in frame2: float32 (height, width, 2),
        pixels to the right and down.

        A frame is an image file, as its bytes or its path, or RGB uint8 (height, width, 3).
        """
        pair = (read_frame(frame1, "frame1"), read_frame(frame2, "frame2"))
        flow: NDArray[np.float32] = self._ask(OpticalFlow, [pair], **options)[0]
        return flow

    @takes(FlowStreamOptions, StreamOptions)
    def stream_optical_flow(
        self, frames: Iterable[Frame], **options: Unpack[FlowStreamOptions]
    ) -> Generator[FlowField, None, None]:
        """The flow from each frame to the next, over gRPC: a FlowField for each frame from the
        second on, in order, as soon as it is there.  Each frame is sent once.

        Frames are taken from the iterable in a thread, no faster than the server reads them.  What
        it raises is raised here, after the answers to what came before.  A frame that is no image,
        or of another size, has a FlowField with an `error`, and so has the next one
        (`pair_broken`); the stream goes on.  What ends it is a PerceiverError.  To leave the loop
        ends it on the server, too.
        """
        stream, context = self._streamed(OpticalFlowStream, **options)
        return self._transport.stream(stream, frames, context)

    @overload
    def multimodal_autoencoding(
        self, inputs: Image, **options: Unpack[MultimodalOptions]
    ) -> Reconstruction: ...
    @overload
    def multimodal_autoencoding(
        self, inputs: Chunk, **options: Unpack[MultimodalOptions]
    ) -> Clip: ...
    @overload
    def multimodal_autoencoding(
        self, inputs: Sequence[Image], **options: Unpack[MultimodalOptions]
    ) -> list[Reconstruction]: ...
    @overload
    def multimodal_autoencoding(
        self, inputs: Sequence[Chunk], **options: Unpack[MultimodalOptions]
    ) -> list[Clip]: ...
    @takes(MultimodalOptions)
    def multimodal_autoencoding(self, inputs: Any, **options: Any) -> Any:
        """Over REST the labels, frames and sound of a video file, given as its bytes or its path,
        clip by clip; over gRPC of a Chunk, which is as long as the model watches at once.

        Several files go as a request each, several Chunks as one message.
        """
        return self._ask(MultimodalAutoencoding, read_files(inputs), **options)

    @takes(MultimodalOptions)
    def multimodal_autoencoding_mp4(
        self, video: Image, **options: Unpack[MultimodalOptions]
    ) -> bytes:
        """Over REST a video file as the model sees and hears it, as an MP4 file; `outputs` is
        video and audio unless given."""
        asked: Any = {"outputs": ("video", "audio"), **options}
        mp4: bytes = self._ask(MultimodalAutoencodingMp4, read_files([video]), **asked)[0]
        return mp4

    @takes(MultimodalStreamOptions, StreamOptions)
    def stream_multimodal_autoencoding(
        self, chunks: Iterable[Chunk], **options: Unpack[MultimodalStreamOptions]
    ) -> Generator[MultimodalResult, None, None]:
        """What is asked of each Chunk, over gRPC, in order; otherwise as stream_optical_flow."""
        stream, context = self._streamed(MultimodalAutoencodingStream, **options)
        return self._transport.stream(stream, chunks, context)

    def models(self, *, timeout: float | None = None) -> list[Model]:
        """The catalogue: every model and its state."""
        return self._transport.answer(ListModels(), self._begin(timeout))

    def _ask(self, task: type[Any], inputs: Any, **options: Any) -> Any:
        call, single, context = self._prepared(task, inputs, **options)
        return self._picked(self._transport.answer(call, context), call, single, context)
