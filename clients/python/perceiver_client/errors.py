"""The one error of every call, and what becomes it.

| code | when | tried again |
|---|---|---|
| the server's own | it refused or failed: `invalid_input`, … | where it says when (`retry_after`) |
| `deadline` | no whole answer within the timeout, all tries and waits included | no |
| `unreachable` | no connection, or it broke before the whole answer had come | yes |
| `too_large` | (also the server's own) a gRPC message over the server's limit | no |
| `bad_answer` | no perceiver-server answers there: a proxy, … | where it says when |
| `cancelled` | the client was closed during the call, or something between gave it up | no |

`invalid_input` is raised without asking the server for what not every transport can carry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from perceiver_client.context import Context

# Of one request among several: what its input is to blame for.
ABOUT_THE_INPUT = ("invalid_input", "unsupported_media_type", "too_large", "non_finite_output")
MAY_NAME_A_TIME = (429, 503)  # Retry-After means "try again" with these only
# The server counts whole milliseconds and may end first: by then it is our deadline that passed.
SLACK_S = 0.01
WRONG_PORT = (  # words of h11, grpc and OpenSSL, what they mean, scheme -> the one to try
    ("illegal request line", "that looks like a gRPC port", {"http": "grpc", "https": "grpcs"}),
    ("http1.x server", "that looks like a REST port", {"grpc": "http", "grpcs": "https"}),
    ("WRONG_VERSION_NUMBER", "that port speaks no TLS", {"https": "http", "grpcs": "grpc"}),
)


class PerceiverError(Exception):
    """A call without an answer.

    code: one of the table above; message: a sentence to act on; retry_after: seconds after which
    the server thinks another try is worth it, if it said so; request_id: what the server's log
    calls the request, None where it was never sent.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def late(context: Context) -> PerceiverError:
    """The deadline passed here, whatever the server does."""
    return _error("deadline", f"no answer within {context.timeout:g} s", context)


def unreachable(url: str, reason: str, context: Context) -> PerceiverError:
    parts = urlsplit(url)
    for words, meaning, schemes in WRONG_PORT:
        if words in reason and parts.scheme in schemes:
            reason = f"{meaning}: try {schemes[parts.scheme]}://{parts.netloc}"
            break
    return _error("unreachable", f"no answer from {url}: {reason}", context)


def bad_answer(url: str, what: str, context: Context) -> PerceiverError:
    message = f"{url} answered {what}: is that a perceiver-server, and not older than this client?"
    return _error("bad_answer", message, context)


def closed(context: Context) -> PerceiverError:
    return _error("cancelled", "the client was closed during the call", context)


def from_http(
    url: str, status: int, headers: Mapping[str, str], body: bytes, context: Context
) -> PerceiverError:
    """The error of a REST answer that is not 200."""
    try:
        answer = json.loads(body)
        error = _from_server(str(answer["code"]), str(answer["error"]), context)
    except (ValueError, LookupError, TypeError):
        error = bad_answer(url, f"HTTP {status}", context)
    if status in MAY_NAME_A_TIME:
        error.retry_after = _seconds(headers.get("retry-after", ""))
    return error


def from_rpc(url: str, error: Any, context: Context) -> PerceiverError:
    """The error of a failed RPC (grpc.RpcError, which has code, details and trailers)."""
    trailers = dict(error.trailing_metadata() or ())
    status, details = error.code().name, error.details() or ""
    fault = _OF_GRPC.get(status, bad_answer)(url, details or f"gRPC {status}", context)
    if "perceiver-code" in trailers:
        fault = _from_server(trailers["perceiver-code"], details, context)
    pushback = trailers.get("grpc-retry-pushback-ms", "")
    fault.retry_after = float(pushback) / 1000 if pushback.isdecimal() else None
    return fault


# What grpc itself says, without a word of the server.
_OF_GRPC: dict[str, Callable[[str, str, Context], PerceiverError]] = {
    "UNAVAILABLE": unreachable,
    "DEADLINE_EXCEEDED": lambda url, details, context: _from_server("deadline", details, context),
    "RESOURCE_EXHAUSTED": lambda url, details, context: _error("too_large", details, context),
    "CANCELLED": lambda url, details, context: _error("cancelled", details, context),
}


def _from_server(code: str, message: str, context: Context) -> PerceiverError:
    """Their own words, but for a deadline that has passed here too."""
    if code == "deadline" and context.remaining() < SLACK_S:
        return late(context)
    return _error(code, message, context)


def _error(code: str, message: str, context: Context) -> PerceiverError:
    return PerceiverError(code, message, request_id=context.request_id)


def _seconds(retry_after: str) -> float | None:
    """Retry-After: whole seconds or a date."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (date - datetime.now(UTC)).total_seconds()) if date.tzinfo else None
