"""Ports to listen on: had, or click's one-sentence error."""

from __future__ import annotations

import socket

import click


def bind(host: str, port: int, flag: str) -> socket.socket:
    """A listening TCP socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while")[0]  # Python adds the address
        raise cannot_listen(host, port, reason, flag) from None


def cannot_listen(host: str, port: int, reason: str, flag: str) -> click.ClickException:
    """The error in one sentence, with the way out."""
    return click.ClickException(
        f"cannot listen on {host} port {port}: {reason}; {flag} names another port"
    )
