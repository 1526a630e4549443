"""Which servers a URL can name."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

SCHEMES = ("http", "https", "grpc", "grpcs")
HELP = "use http://HOST:PORT or https://HOST for REST, grpc://HOST:PORT or grpcs://HOST:PORT"


def server_url(url: str) -> SplitResult:
    """The parts of a server's URL; ValueError where it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except (ValueError, AttributeError, TypeError):
        raise _wrong(url) from None
    rpc = parts.scheme.startswith("grpc")
    strange = "@" in parts.netloc or parts.query or parts.fragment
    if parts.scheme not in SCHEMES or not parts.hostname or strange:
        raise _wrong(url)
    if parts.path not in ("", "/"):
        raise ValueError(f"{url!r}: the URL ends with the port, without {parts.path}")
    if rpc and port is None:
        raise _wrong(url)
    return parts


def _wrong(url: object) -> ValueError:
    return ValueError(f"{url!r} is no URL of a server: {HELP}")
