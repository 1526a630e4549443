"""Ends a connection from our side, which grpc.aio cannot do, nor end a call that does not move."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

OPEN_FILES = Path("/proc/self/fd")
IPV4_IN_IPV6 = "::ffff:"


def hang_up(peer: str, port: int) -> None:
    """Shuts the connection of a peer, named as gRPC does (`ipv4:127.0.0.1:5000`), with our port.

    Nothing happens where it has ended already.
    """
    host, _, peer_port = unquote(peer).partition(":")[2].rpartition(":")
    wanted = (host.strip("[]"), int(peer_port), port)
    for file in OPEN_FILES.iterdir():
        with suppress(OSError):  # what is closed meanwhile, and what is no connection
            if stat.S_ISSOCK(file.stat().st_mode):
                with socket.socket(fileno=os.dup(int(file.name))) as found:
                    if _ends(found) == wanted:
                        found.shutdown(socket.SHUT_RDWR)


def _ends(sock: socket.socket) -> tuple[str, int, int]:
    """(the peer's host and port, our port); OSError where it is no connection."""
    peer, ours = sock.getpeername(), sock.getsockname()
    if not isinstance(peer, tuple):
        raise OSError("no connection of TCP")
    return peer[0].removeprefix(IPV4_IN_IPV6), peer[1], ours[1]
