"""gRPC's channels, blocking and async alike."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

import grpc

SERVICE = "/perceiver.v1.Perceiver/"
OPTIONS = (
    # How large a message may be is for the server to say, which is configured.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),  # ours know the deadline and what the server asks for
    ("grpc.enable_http_proxy", 0),  # as over REST
    # A channel that found nobody fails every call until it looks again: let that be soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


def channel_of(api: Any, url: SplitResult) -> Any:
    """A channel of grpc or of grpc.aio."""
    if url.scheme == "grpcs":
        return api.secure_channel(url.netloc, _credentials(), options=OPTIONS)
    return api.insecure_channel(url.netloc, options=OPTIONS)


def _credentials() -> grpc.ChannelCredentials:
    """The certificates that https trusts (SSL_CERT_FILE names others), else grpc's own."""
    file = ssl.get_default_verify_paths().cafile
    return grpc.ssl_channel_credentials(Path(file).read_bytes() if file else None)
