"""The media children, from the server's side: untrusted bytes out, rows back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from server.child import Child, ChildDied
from server.config import Settings
from server.errors import Fault
from server.frames import FrameError, Row
from server.messages import (
    MAX_MEDIA_BYTES,
    TOO_MUCH,
    Decode,
    Failed,
    MediaCall,
    MediaOptions,
    MediaReply,
    Preprocess,
    RenderFlow,
    RenderVideo,
)

RENDERERS: dict[str, type[RenderFlow | RenderVideo]] = {"flow-png": RenderFlow, "mp4": RenderVideo}


VIDEO = 1000  # images that rather wait for one another than behind one video


class MediaPool:
    """Decodes, preprocesses and renders, one thing at a time in each child.

    Videos take seconds: of several children the first takes none.  Whatever fails is a Fault; what
    takes longer than `media_timeout_s` is killed.
    """

    def __init__(self, settings: Settings) -> None:
        self._limit_s = settings.media_timeout_s
        options = MediaOptions(
            max_pixels=settings.max_pixels,
            max_seconds=settings.max_seconds,
            max_frames=settings.max_frames,
            max_rows=settings.max_queue,
            memory_bytes=int(settings.media_memory_bytes),
            time_limit_s=settings.media_timeout_s,
        )
        self._children = [
            Child("server.media_child", options, MediaReply, max_body=MAX_MEDIA_BYTES)
            for _ in range(settings.media_processes)
        ]
        # Held by who has images decoded one by one, while their pixels are in memory.
        self.turns = asyncio.Semaphore(settings.media_processes)

    def start(self) -> None:
        """Starts the children."""
        for child in self._children:
            child.start()

    async def close(self) -> None:
        """Ends the children."""
        await asyncio.gather(*(child.close() for child in self._children))

    async def preprocess(self, folder: Path, item: Any, *, video: bool = False) -> list[Row]:
        """The rows of one item, by the pipeline of a folder."""
        row = {"item": _bytes(msgspec.msgpack.encode(item))}
        return await self._call(Preprocess(str(folder)), row, video=video)

    async def decode(self, image: bytes, fit: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """An encoded image as RGB uint8 (H, W, 3).

        With `fit` its middle, cut to the shape of (height, width) and scaled to that size.
        """
        [row] = await self._call(Decode(fit), {"file": _bytes(image)})
        return row["pixels"]

    async def render(self, kind: str, row: Row, **options: Any) -> bytes:
        """A file: `flow-png` of {"flow": float32 (h, w, 2)}, or `mp4` of {"frames": uint8
        (n, h, w, 3)} and, for sound, "audio": float32 (S,); options as RenderFlow and RenderVideo
        name them."""
        [made] = await self._call(RENDERERS[kind](**options), row, video=kind == "mp4")
        return made["file"].tobytes()

    async def _call(self, message: MediaCall, row: Row, *, video: bool = False) -> list[Row]:
        children = (self._children[1:] if video else []) or self._children
        child = min(children, key=lambda child: child.waiting)
        weight = VIDEO if video else 1
        try:
            reply, rows = await child.call(message, [row], limit_s=self._limit_s, weight=weight)
        except FrameError:
            raise Fault("too_large", TOO_MUCH) from None
        except ChildDied as death:
            if death.late:
                raise Fault(
                    "too_large",
                    f"reading or drawing this took longer than {self._limit_s:g} s: send a smaller "
                    "file",
                ) from None
            raise Fault(
                "worker_died", "the media process ended with this in its hands: try again"
            ) from None
        if isinstance(reply, Failed):
            raise Fault(reply.code, reply.message)
        return rows


def _bytes(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)
