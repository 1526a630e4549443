"""Client and AsyncClient: one interface over REST and gRPC, blocking and async."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, Unpack, overload
from uuid import uuid4

from perceiver_client.calls import (
    FillMask,
    ImageClassification,
    ListModels,
    TextClassification,
)
from perceiver_client.checks import check_known, several
from perceiver_client.context import Context
from perceiver_client.errors import bad_answer
from perceiver_client.options import ClassificationOptions, FillMaskOptions, Image, takes
from perceiver_client.results import Fill, Label, Model
from perceiver_client.transports import async_transport, blocking_transport
from perceiver_client.urls import server_url

DEFAULT_TIMEOUT_S = 30.0
LONGEST_TIMEOUT_S = 24 * 3600.0


class _Base:
    """What both clients know."""

    def __init__(self, url: str, *, timeout: float = DEFAULT_TIMEOUT_S, retries: int = 2) -> None:
        """url: http://HOST:PORT, https://…, grpc://HOST:PORT or grpcs://…; timeout: seconds a call
        may take with all its tries; retries: further tries of what is worth trying again."""
        if retries < 0:
            raise ValueError(f"retries is {retries}, but must be 0 or more")
        self._url, self._retries = server_url(url), retries
        self._timeout = _checked(timeout)
        self._closed = False

    def _begin(self, timeout: float | None) -> Context:
        """A call starts now."""
        if self._closed:
            raise RuntimeError("the client is closed: make another")
        return Context(self._timeout if timeout is None else _checked(timeout), uuid4().hex)

    def _prepared(
        self, task: type[Any], inputs: Any, timeout: float | None = None, **options: Any
    ) -> tuple[Any, bool, Context]:
        """The call, whether it has one input that is not in a list, and its context."""
        check_known(task, options)
        given, single = several(inputs)
        context = self._begin(timeout)
        return task(given, **options), single, context

    def _picked(self, answers: list[Any], call: Any, single: bool, context: Context) -> Any:
        """The answer for one input, or all of them."""
        if len(answers) != len(call.inputs):
            what = f"{len(answers)} results for {len(call.inputs)} inputs"
            raise bad_answer(self._url.geturl(), what, context)
        return answers[0] if single else answers


class Client(_Base):
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
        return self._ask(ImageClassification, _read(inputs), **options)

    def models(self, *, timeout: float | None = None) -> list[Model]:
        """The catalogue: every model and its state."""
        return self._transport.answer(ListModels(), self._begin(timeout))

    def _ask(self, task: type[Any], inputs: Any, **options: Any) -> Any:
        call, single, context = self._prepared(task, inputs, **options)
        return self._picked(self._transport.answer(call, context), call, single, context)


class AsyncClient(_Base):
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
        images = await asyncio.to_thread(_read, inputs)
        return await self._ask(ImageClassification, images, **options)

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


def _read(inputs: Any) -> Any:
    """The same with the files' bytes in place of their paths."""
    images, single = several(inputs)
    read = [one.read_bytes() if isinstance(one, Path) else one for one in images]
    return read[0] if single else read


def _checked(timeout: float) -> float:
    if not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds, but is {timeout!r}")
    if not 0 < timeout <= LONGEST_TIMEOUT_S:
        limit = f"more than 0 and at most {LONGEST_TIMEOUT_S:g} seconds"
        raise ValueError(f"timeout is {timeout!r}, but must be {limit}")
    return timeout
