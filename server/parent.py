"""A child's view of its parent: the channel, and what the child does when the parent goes."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from typing import Any

from server.frames import MAX_BODY, Channel


def join_parent(fd: int, receives: Any, max_body: int = MAX_BODY) -> Channel[Any]:
    """The channel over the inherited descriptor `fd`; this process ends when the parent does.

    SIGINT and SIGTERM are ignored: service managers send them to every process of a service, but
    when to stop is the parent's decision (it drains first).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    threading.Thread(target=_exit_at_hang_up, args=(fd,), daemon=True).start()
    return Channel(sock, receives, max_body)


def _exit_at_hang_up(fd: int) -> None:
    """Ends the process when the other end closes, whatever the main thread is busy with."""
    poll = select.poll()
    poll.register(fd, getattr(select, "POLLRDHUP", 0))  # POLLHUP is always reported
    poll.poll()
    os._exit(0)
