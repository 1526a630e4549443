"""One HTTP connection: uvicorn's protocol plus the patience it lacks.

uvicorn waits for ever for a request header, and resets a connection whose request body it has not
read, so that the client may lose the answer that told it why.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 64 * 1024
LINGER_S = 2.0
HEADER_TOO_LARGE = "the request header is over 64 KiB, the limit: send a smaller one"
NOT_HTTP = "this is no valid HTTP/1.1 request: the port speaks plain HTTP, no TLS"


class Connection(HttpToolsProtocol):
    """Closes when a header takes too long or is too big; lingers where a body is left unread."""

    header_timeout_s: ClassVar[float] = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._in_header = True
        self._lingering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm(self.header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_header:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self.send_400_response(HEADER_TOO_LARGE)

    def on_message_begin(self) -> None:
        if not self._in_header:  # a further request on this connection
            self._in_header, self._header_bytes = True, 0
            self._arm(self.header_timeout_s)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._lingering:
            return
        self._disarm()
        self._in_header = False
        super().on_headers_complete()
        self.cycle.transport = _Lingering(self)  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        if self._lingering:
            self.transport.close()
        else:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """As JSON and with an id, like every other error, in more words than uvicorn's."""
        if msg != HEADER_TOO_LARGE:
            msg = NOT_HTTP
        body = json.dumps({"error": msg, "code": "malformed"}).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"x-request-id: {uuid.uuid4().hex}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def close_response(self) -> None:
        """After the last response: at once, or when the client has seen it and stopped sending."""
        if not self.cycle.more_body or self.transport.is_closing():
            self.transport.close()
            return
        self._lingering = True
        self.transport.write_eof()
        self._arm(LINGER_S)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._too_late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:  # type: ignore[redundant-expr]
            self._arm(self.header_timeout_s)  # a pipelined header; the response before it goes on
        else:
            self.transport.close()


class _Lingering:
    """The transport as a response sees it; only closing differs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection.transport, name)

    def close(self) -> None:
        self._connection.close_response()


def connection_class(header_timeout_s: float) -> type[Connection]:
    """A protocol class with this patience, for uvicorn to instantiate."""
    return type("Connection", (Connection,), {"header_timeout_s": header_timeout_s})
