"""The media children, from the server's side: untrusted bytes out, rows back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from server.child import Child, ChildDied
from server.config import Settings
from server.errors import Fault
from server.frames import Row
from server.messages import Failed, MediaOptions, MediaReply, Preprocess

MAX_ROWS_BYTES = 256 * 1024 * 1024  # of one item: what a child that has been taken over may send


class MediaPool:
    """Decodes and preprocesses one item at a time in each child."""

    def __init__(self, settings: Settings) -> None:
        self._limit_s = settings.media_timeout_s
        options = MediaOptions(
            max_pixels=settings.max_pixels,
            memory_bytes=int(settings.media_memory_bytes),
            time_limit_s=settings.media_timeout_s,
        )
        self._children = [
            Child("server.media_child", options, MediaReply, max_body=MAX_ROWS_BYTES)
            for _ in range(settings.media_processes)
        ]

    def start(self) -> None:
        """Starts the children."""
        for child in self._children:
            child.start()

    async def close(self) -> None:
        """Ends the children."""
        await asyncio.gather(*(child.close() for child in self._children))

    async def preprocess(self, folder: Path, item: Any) -> list[Row]:
        """The rows of one item, by the pipeline of a folder; a Fault where there are none."""
        child = min(self._children, key=lambda child: child.waiting)
        encoded = np.frombuffer(msgspec.msgpack.encode(item), np.uint8)
        try:
            reply, rows = await child.call(
                Preprocess(str(folder)), [{"item": encoded}], limit_s=self._limit_s
            )
        except ChildDied as death:
            if death.late:
                raise Fault(
                    "too_large",
                    f"decoding took longer than {self._limit_s:g} s: send a smaller file",
                ) from None
            raise Fault("worker_died", "the decoder ended while reading this: try again") from None
        if isinstance(reply, Failed):
            raise Fault(reply.code, reply.message)
        return rows
