"""One HTTP connection: uvicorn's protocol plus the patience it lacks.

uvicorn waits for ever for a request header and for a client to read an answer, resets a connection
whose request body it has not read, so that the client may lose the answer that told it why, and
does not read the body of a request that offers to go on in another protocol.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.request_id import request_id_of

MAX_HEADER_BYTES = 64 * 1024
LINGER_S = 2.0
LAST_WORDS_S = 5.0  # to read what has been answered when the server stops
FRAMING = (b"content-length", b"transfer-encoding")
HEADER_TOO_LARGE = "the request header is over 64 KiB, the limit: send a smaller one"
NOT_HTTP = "this is no valid HTTP/1.1 request: the port speaks plain HTTP, no TLS"


class Connection(HttpToolsProtocol):
    """Closes when a header takes too long or is too big; lingers where a body is left unread;
    aborts where an answer is."""

    header_timeout_s: ClassVar[float] = 10.0
    write_timeout_s: ClassVar[float] = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = _Parser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._more_to_write = False  # of the answer that is being read
        self._header_bytes = 0
        self._in_header = True
        self._lingering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm(self.header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._disarm_write()
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
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # its body, if it has one, is still to come
        if self._lingering:
            self.transport.close()
        else:
            super().on_message_complete()

    def go_on(self, data: bytes) -> None:
        """An upgrade is offered, and not taken (RFC 9110, 7.8): the rest is the request's body.

        The parser has skipped it; another one reads it, and nothing behind it.
        """
        framing = [b"%s: %s\r\n" % header for header in self.headers if header[0] in FRAMING]
        self.parser = httptools.HttpRequestParser(_Body(self))
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
        self.parser.feed_data(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._more_to_write = True
        if self._write_timer is None:  # else it is one more piece of an answer
            self._arm_write(self.write_timeout_s)

    def resume_writing(self) -> None:
        if not self._more_to_write:
            self._disarm_write()
        super().resume_writing()

    def on_response_complete(self) -> None:
        self._more_to_write = False
        if not self.flow.write_paused:
            self._disarm_write()
        super().on_response_complete()

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing() or self._write_timer is not None:
            self._arm_write(LAST_WORDS_S)

    def timeout_keep_alive_handler(self) -> None:
        self.transport.abort()  # what was not read by now will not be

    def send_400_response(self, msg: str) -> None:
        """As JSON and with an id, like every other error, in more words than uvicorn's."""
        if msg != HEADER_TOO_LARGE:
            msg = NOT_HTTP
        body = json.dumps({"error": msg, "code": "malformed"}).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"x-request-id: {request_id_of(None)}\r\n"
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

    def _arm_write(self, seconds: float) -> None:
        self._disarm_write()
        self._write_timer = self.loop.call_later(seconds, self.transport.abort)

    def _disarm_write(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _too_late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:  # type: ignore[redundant-expr]
            self._arm(self.header_timeout_s)  # a pipelined header; the response before it goes on
        else:
            self.transport.close()


class _Parser(httptools.HttpRequestParser):
    """Tells the connection of an upgrade, with what came behind the header."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._connection = connection

    def feed_data(self, data: Any) -> None:
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._connection.go_on(data[offer.args[0] :])


class _Body:
    """What a parser tells of a body alone."""

    def __init__(self, connection: Connection) -> None:
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete


class _Lingering:
    """The transport as a response sees it; only closing differs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection.transport, name)

    def close(self) -> None:
        self._connection.close_response()


def connection_class(header_timeout_s: float, write_timeout_s: float) -> type[Connection]:
    """A protocol class with this patience, for uvicorn to instantiate."""
    patience = {"header_timeout_s": header_timeout_s, "write_timeout_s": write_timeout_s}
    return type("Connection", (Connection,), patience)
