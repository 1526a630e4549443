"""multipart/form-data from a body that is in memory and bounded already: no files, no surprises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from server.errors import Fault

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS = 4


def form_parts(content_type: str, body: bytes) -> dict[str, bytes]:
    """Part name -> its bytes; Fault malformed where the form is broken, has a part twice or many.

    File names, content types and transfer encodings of parts mean nothing to us.
    """
    _, options = parse_options_header(content_type)
    reader = _Reader()
    try:
        parser = MultipartParser(options[b"boundary"], reader.callbacks())
        parser.write(body)
        parser.finalize()
    except (KeyError, ValueError) as error:
        raise _broken(error) from None
    if not reader.ended:
        raise Fault("malformed", "the multipart body ends too early: send all of it")
    return reader.parts


def _broken(error: Exception) -> Fault:
    if isinstance(error, FormParserError):
        return Fault("malformed", "the multipart body cannot be read: its boundaries are broken")
    if isinstance(error, KeyError):
        return Fault("malformed", "the multipart body's Content-Type names no boundary")
    return Fault("malformed", f"the multipart body {error}")


class _Reader:
    """Collects what the parser finds."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}
        self.ended = False
        self._header, self._value = b"", b""
        self._name: str | None = None
        self._data: list[bytes] = []

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def _on_part_begin(self) -> None:
        if len(self.parts) == MAX_PARTS:
            raise ValueError(f"has more than {MAX_PARTS} parts")
        self._name, self._data = None, []

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._header, self._value = b"", b""

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _on_part_end(self) -> None:
        if not self._name:
            raise ValueError("has a part without a name")
        if self._name in self.parts:
            raise ValueError(f"has the part {self._name[:40]!r} twice")
        self.parts[self._name] = b"".join(self._data)

    def _on_end(self) -> None:
        self.ended = True
