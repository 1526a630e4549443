"""HTTP/2 by hand: frames that no client library would send."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from tests.live_server import LiveServer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1
MAX_CONCURRENT_STREAMS, ENHANCE_YOUR_CALM, CANCEL = 3, 11, 8
TEXT_CLASSIFICATION = b"/perceiver.v1.Perceiver/TextClassification"


@contextmanager
def connection(server: LiveServer) -> Iterator[socket.socket]:
    host, _, port = server.grpc_target.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        yield sock


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


HELLO = PREFACE + frame(SETTINGS)
DEAF = PREFACE + frame(SETTINGS, struct.pack(">HI", 4, 0))  # no stream may send any data


def literal(name: bytes, value: bytes) -> bytes:
    """A header field as HPACK writes it without any table."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def opening(path: bytes = TEXT_CLASSIFICATION, stream: int = 1, **more: bytes) -> bytes:
    """The HEADERS frame of a call; `more` are further fields, their _ standing for -."""
    fields = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path,
        b":authority": b"x",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
        **{name.replace("_", "-").encode(): value for name, value in more.items()},
    }
    return frame(HEADERS, b"".join(map(literal, fields, fields.values())), END_HEADERS, stream)


def message(payload: bytes, stream: int = 1) -> bytes:
    """The DATA frame of a call's one message."""
    return frame(DATA, b"\0" + len(payload).to_bytes(4) + payload, END_STREAM, stream)


def frames(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    """(type, payload) of all that comes, until the other side closes."""
    with sock.makefile("rb") as stream:
        while head := stream.read(9):
            yield head[3], stream.read(int.from_bytes(head[:3]))


def closed(sock: socket.socket) -> bool:
    """Whether the other side closes the connection within the socket's time."""
    try:
        for _ in frames(sock):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    return True
