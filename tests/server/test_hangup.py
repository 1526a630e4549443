"""A connection is ended by its two ends' names, and nothing else is touched."""

from __future__ import annotations

import socket

from server.rpc.hangup import hang_up
from tests.open_files import open_files


def test_one_connection_ends_and_no_descriptor_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port)) as one,
            server.accept()[0],
            socket.create_connection(("127.0.0.1", port)) as other,
            server.accept()[0] as others_end,
        ):
            files = open_files()
            hang_up(f"ipv4:127.0.0.1:{one.getsockname()[1]}", port)
            assert not open_files() - files
            assert one.recv(1) == b""
            others_end.sendall(b"x")
            assert other.recv(1) == b"x"
