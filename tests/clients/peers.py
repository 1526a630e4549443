"""Servers that answer as a test says, over HTTP and gRPC; real sockets, no perceiver-server."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from perceiver_client import perceiver_pb2 as pb

LABEL = {"label": "yes", "score": 0.5}
OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


@dataclass(frozen=True)
class Reply:
    """What a peer says to one request: to classify a text, or an error."""

    http: int = 200  # 0: the connection breaks
    grpc: str = "OK"
    headers: Mapping[str, str] = field(default_factory=dict)
    trailers: Mapping[str, str] = field(default_factory=dict)
    label: str = str(LABEL["label"])
    results: int = 1
    body: bytes | None = None  # in place of JSON


def refusal(code: str, http: int, status: str, *, after_s: int | None = None) -> Reply:
    """An error as perceiver-server sends it."""
    headers = {} if after_s is None else {"Retry-After": str(after_s)}
    trailers = {} if after_s is None else {"grpc-retry-pushback-ms": str(after_s * 1000)}
    body = json.dumps({"error": "not now", "code": code}).encode()
    return Reply(http, status, headers, {"perceiver-code": code, **trailers}, body=body)


@dataclass(frozen=True)
class Seen:
    """One request: when it came (monotonic seconds), its id, and the time it may take (seconds)."""

    at: float
    request_id: str
    timeout: float


@dataclass
class Peer:
    """What the peers are to say, request after request (the last for ever), and what they saw."""

    replies: Sequence[Reply]
    urls: dict[str, str] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    def next(self, request_id: str, timeout: float) -> Reply:
        self.seen.append(Seen(time.monotonic(), request_id, timeout))
        return self.replies[min(len(self.seen), len(self.replies)) - 1]


@contextmanager
def peer(*replies: Reply, tls: tuple[Path, Path] | None = None) -> Iterator[Peer]:
    """A peer that says so over HTTP and over gRPC; with `tls` (certificate, key) over TLS."""
    script = Peer(replies)
    with ExitStack() as stack:
        http_port = stack.enter_context(_http(script, tls))
        grpc_port = stack.enter_context(_grpc(script, tls))
        s = "s" if tls else ""
        script.urls["http"] = f"http{s}://localhost:{http_port}"
        script.urls["grpc"] = f"grpc{s}://localhost:{grpc_port}"
        yield script


@contextmanager
def _http(script: Peer, tls: tuple[Path, Path] | None) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the name that http.server looks for
            self.rfile.read(int(self.headers["Content-Length"]))
            timeout = int(self.headers["X-Timeout-Ms"]) / 1000
            reply = script.next(self.headers["X-Request-Id"], timeout)
            answer = [[{**LABEL, "label": reply.label}]] * reply.results
            body = json.dumps(answer).encode() if reply.body is None else reply.body
            if not reply.http:
                self.close_connection = True
                return
            self.send_response(reply.http)
            for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*tls)
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _grpc(script: Peer, tls: tuple[Path, Path] | None) -> Iterator[int]:
    def handle(request: pb.TextClassificationRequest, context: grpc.ServicerContext) -> Any:
        metadata: Any = dict(context.invocation_metadata())
        reply = script.next(metadata["x-request-id"], context.time_remaining())
        context.set_trailing_metadata(tuple(reply.trailers.items()))
        if reply.grpc != "OK":
            context.abort(grpc.StatusCode[reply.grpc], "not now")
        labels = pb.Labels(labels=[pb.Label(label=reply.label, score=0.5)])
        return pb.TextClassificationResponse(results=[labels] * reply.results)

    method = grpc.unary_unary_rpc_method_handler(
        handle,
        request_deserializer=pb.TextClassificationRequest.FromString,
        response_serializer=pb.TextClassificationResponse.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(8), options=OPTIONS)
    handlers = {"TextClassification": method}
    server.add_registered_method_handlers("perceiver.v1.Perceiver", handlers)
    if tls:
        certificate, key = (path.read_bytes() for path in tls)
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


@contextmanager
def impostor(
    answers: Sequence[pb.FlowField], frames: int = 2, status: str = "OK"
) -> Iterator[dict[str, str]]:
    """URLs of a server that takes so many frames of a stream, gives these answers, and ends it."""

    def handle(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        for _ in range(frames):
            next(requests)
        yield from answers
        if status != "OK":
            context.abort(grpc.StatusCode[status], "not now")

    method = grpc.stream_stream_rpc_method_handler(
        handle,
        request_deserializer=pb.FlowFrame.FromString,
        response_serializer=pb.FlowField.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_registered_method_handlers("perceiver.v1.Perceiver", {"StreamOpticalFlow": method})
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield {"grpc": f"grpc://127.0.0.1:{port}"}
    finally:
        server.stop(None).wait()


def flow_field(index: int = 1, **given: Any) -> pb.FlowField:
    """A FlowField of one pixel, or as given."""
    values = {"height": 1, "width": 1, "encoding": pb.FLOW_ENCODING_FLOAT32, "data": bytes(8)}
    return pb.FlowField(index=index, flow=pb.Flow(**{**values, **given}))


@contextmanager
def tcp(first: bytes = b"", *, drip: bytes = b"", close: bool = False) -> Iterator[dict[str, str]]:
    """URLs of a port where each connection gets `first`, then bytes of `drip` now and then, until
    the client leaves; with `close` it is closed once something has come in."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(first)
            if close:
                connection.recv(65536)
                return
            while not ended.wait(0.02):
                connection.sendall(drip)

    def accept() -> None:
        with ThreadPoolExecutor() as connections, suppress(OSError):
            while True:
                connections.submit(serve, listener.accept()[0])

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        port = listener.getsockname()[1]
        yield {"http": f"http://127.0.0.1:{port}", "grpc": f"grpc://127.0.0.1:{port}"}
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()
