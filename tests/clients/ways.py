"""The same call over REST and gRPC, blocking and async."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from perceiver_client import AsyncClient, Client, PerceiverError

WAYS = ("http blocking", "http async", "grpc blocking", "grpc async")
GRPC_WAYS = WAYS[2:]


@dataclass(frozen=True)
class Way:
    """One of WAYS to the server or peer that listens on `urls[scheme]`."""

    name: str
    urls: Mapping[str, str]
    retries: int = 2

    @property
    def scheme(self) -> str:
        return self.name.split()[0]

    @property
    def url(self) -> str:
        return self.urls[self.scheme]

    def ask(self, method: str, *inputs: Any, **options: Any) -> Any:
        """The answer, by a client of its own."""
        if self.name.endswith("blocking"):
            with Client(self.url, retries=self.retries) as client:
                return getattr(client, method)(*inputs, **options)
        return asyncio.run(self._ask(method, *inputs, **options))

    def stream(self, method: str, items: Any, **options: Any) -> list[Any]:
        """All answers of a stream."""
        return [*self.answers(method, items, **options)]

    def answers(self, method: str, items: Any, **options: Any) -> Generator[Any, None, None]:
        """The answers of a stream, as they are asked for."""
        if self.name.endswith("blocking"):
            with (
                Client(self.url) as client,
                closing(getattr(client, method)(items, **options)) as s,
            ):
                yield from s
            return
        with asyncio.Runner() as runner:
            asynchronous = AsyncClient(self.url)
            answers = getattr(asynchronous, method)(items, **options)
            try:
                while (answer := runner.run(anext(answers, None))) is not None:
                    yield answer
            finally:
                runner.run(answers.aclose())
                runner.run(asynchronous.close())

    def error(self, method: str, *inputs: Any, **options: Any) -> PerceiverError:
        """The error it must end with."""
        with pytest.raises(PerceiverError) as caught:
            self.ask(method, *inputs, **options)
        return caught.value

    async def _ask(self, method: str, *inputs: Any, **options: Any) -> Any:
        async with AsyncClient(self.url, retries=self.retries) as client:
            return await getattr(client, method)(*inputs, **options)
