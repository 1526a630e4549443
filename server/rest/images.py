"""The three ways an image arrives: the file's own bytes, JSON with base64, a multipart form."""

from __future__ import annotations

import asyncio
import binascii
from typing import NamedTuple

from starlette.datastructures import Headers

from server.errors import Fault
from server.rest.form import form_parts
from server.rest.parse import IN_THREAD_ABOVE, parse_json
from server.rest.schemas import ClassificationParameters, ImageClassificationRequest
from server.signatures import check_image, image_format

CURL_TYPE = "application/x-www-form-urlencoded"  # what curl says of any body
_MAX_PARAMETERS = 64 * 1024
_STEP = 256 * 1024  # a multiple of 4
_FORM_HELP = "send the image as the part `file`, and `parameters`, if any, as a JSON part"


class ImageCall(NamedTuple):
    """An image-classification request, however it was written."""

    image: bytes
    parameters: ClassificationParameters | None
    model: str | None


async def image_call(headers: Headers, body: bytes) -> ImageCall:
    """Reads the body by what it is; its Content-Type is asked only where the bytes do not tell."""
    content_type = headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if not image_format(body):
        if kind == "multipart/form-data":
            return await _from_form(content_type, body)
        if kind == "application/json" or body[:64].lstrip()[:1] == b"{":
            return await _from_json(body)
    check_image(body, by_curl=kind == CURL_TYPE or kind.startswith("text/"))
    return ImageCall(body, None, None)


async def _from_json(body: bytes) -> ImageCall:
    request = await parse_json(body, ImageClassificationRequest)
    if len(request.inputs) > IN_THREAD_ABOVE:
        image = await asyncio.to_thread(decode_base64, request.inputs)
    else:
        image = decode_base64(request.inputs)
    check_image(image)
    return ImageCall(image, request.parameters, request.model)


def decode_base64(text: str) -> bytes:
    """The bytes of base64 (line breaks allowed) or of a base64 data: URL."""
    scheme = text[:8].lower()
    if scheme.startswith(("http:", "https:", "file:", "ftp:")):
        raise Fault(
            "invalid_input", "inputs is a URL, and the server fetches none: send the image itself"
        )
    if scheme.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise Fault("invalid_input", "inputs must be a data: URL with base64 data")
    try:
        return _strict_base64(text.encode("ascii").translate(None, b" \t\r\n"))
    except ValueError:
        raise Fault(
            "invalid_input", "inputs must be the image file as base64 or as a data: URL"
        ) from None


def _strict_base64(data: bytes) -> bytes:
    """In steps: one call would hold the interpreter, and so every other request, for too long."""
    if b"=" in data[:-2]:
        raise ValueError("padding in the middle")
    steps = range(0, len(data), _STEP)
    return b"".join(binascii.a2b_base64(data[i : i + _STEP], strict_mode=True) for i in steps)


async def _from_form(content_type: str, body: bytes) -> ImageCall:
    """Parses a form in a thread: python-multipart is slow on hostile input."""
    parts = await asyncio.to_thread(form_parts, content_type, body)
    image = parts.pop("file", None)
    parameters = parts.pop("parameters", b"")
    if parts:
        raise Fault("invalid_input", f"unknown part {next(iter(parts))[:40]!r}: {_FORM_HELP}")
    if not image:
        raise Fault("invalid_input", f"the part `file` is missing or empty: {_FORM_HELP}")
    if len(parameters) > _MAX_PARAMETERS:
        raise Fault("too_large", f"the part `parameters` is over {_MAX_PARAMETERS} bytes")
    check_image(image)
    parsed = None
    if parameters.strip() not in (b"", b"null"):
        parsed = await parse_json(parameters, ClassificationParameters)
    return ImageCall(image, parsed, None)
