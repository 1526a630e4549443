"""The ways media arrive: a file's own bytes, JSON with base64, a multipart form."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel
from starlette.datastructures import Headers

from server.errors import Fault
from server.rest.form import form_parts
from server.rest.parse import IN_THREAD_ABOVE, parse_json
from server.signatures import describe

CURL_TYPE = "application/x-www-form-urlencoded"  # what curl says of any body
_MAX_PARAMETERS = 64 * 1024
_STEP = 256 * 1024  # a multiple of 4


class Check(Protocol):
    """Fault unsupported_media_type where `data`, which callers know as `name`, is no such file."""

    def __call__(self, data: bytes, name: str = ..., *, by_curl: bool = ...) -> None: ...


@dataclass(frozen=True)
class Upload:
    """The files that a task takes."""

    request: type[BaseModel]  # JSON; its `inputs` is base64, or an object of base64 by part
    parameters: type[BaseModel]
    parts: tuple[str, ...]  # of a form; a single one may also be the whole body
    known: Callable[[bytes], object]  # whether bytes begin like such a file
    check: Check
    form: str  # what to send in a form


class Uploaded(NamedTuple):
    """A request for a task of media, however it was written."""

    files: dict[str, bytes]  # by part
    parameters: Any
    model: str | None


async def read_upload(headers: Headers, body: bytes, upload: Upload) -> Uploaded:
    """Reads the body by what it is; its Content-Type is asked only where the bytes do not tell."""
    content_type = headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    single = len(upload.parts) == 1
    if not (single and upload.known(body)):
        if kind == "multipart/form-data":
            return await _from_form(content_type, body, upload)
        if kind == "application/json" or body[:64].lstrip()[:1] == b"{":
            return await _from_json(body, upload)
    if not single:
        raise Fault(
            "unsupported_media_type",
            f"the body is neither a multipart form nor JSON{describe(body)}; {upload.form}",
        )
    upload.check(body, by_curl=kind == CURL_TYPE or kind.startswith("text/"))
    return Uploaded({upload.parts[0]: body}, None, None)


async def _from_json(body: bytes, upload: Upload) -> Uploaded:
    request: Any = await parse_json(body, upload.request)
    one = isinstance(request.inputs, str)
    files = {}
    for part in upload.parts:
        text, name = (
            (request.inputs, "inputs") if one else (getattr(request.inputs, part), f"inputs.{part}")
        )
        if len(text) > IN_THREAD_ABOVE:
            files[part] = await asyncio.to_thread(decode_base64, text, name)
        else:
            files[part] = decode_base64(text, name)
        upload.check(files[part], name)
    return Uploaded(files, request.parameters, request.model)


def decode_base64(text: str, name: str = "inputs") -> bytes:
    """The bytes of base64 (line breaks allowed) or of a base64 data: URL."""
    scheme = text[:8].lower()
    if scheme.startswith(("http:", "https:", "file:", "ftp:")):
        raise Fault(
            "invalid_input", f"{name} is a URL, and the server fetches none: send the file itself"
        )
    if scheme.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise Fault("invalid_input", f"{name} must be a data: URL with base64 data")
    try:
        return _strict_base64(text.encode("ascii").translate(None, b" \t\r\n"))
    except ValueError:
        raise Fault(
            "invalid_input", f"{name} must be the file as base64 or as a data: URL"
        ) from None


def _strict_base64(data: bytes) -> bytes:
    """In steps: one call would hold the interpreter, and so every other request, for too long."""
    if b"=" in data[:-2]:
        raise ValueError("padding in the middle")
    steps = range(0, len(data), _STEP)
    return b"".join(binascii.a2b_base64(data[i : i + _STEP], strict_mode=True) for i in steps)


async def _from_form(content_type: str, body: bytes, upload: Upload) -> Uploaded:
    """Parses a form in a thread: python-multipart is slow on hostile input."""
    parts = await asyncio.to_thread(form_parts, content_type, body)
    files = {part: parts.pop(part, b"") for part in upload.parts}
    parameters = parts.pop("parameters", b"")
    if parts:
        raise Fault("invalid_input", f"unknown part {next(iter(parts))[:40]!r}: {upload.form}")
    for part, data in files.items():
        if not data:
            raise Fault("invalid_input", f"the part `{part}` is missing or empty: {upload.form}")
        upload.check(data, f"the part `{part}`")
    if len(parameters) > _MAX_PARAMETERS:
        raise Fault("too_large", f"the part `parameters` is over {_MAX_PARAMETERS} bytes")
    parsed = None
    if parameters.strip() not in (b"", b"null"):
        parsed = await parse_json(parameters, upload.parameters, "parameters")
    return Uploaded(files, parsed, None)
