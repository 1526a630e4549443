"""What a body is, told by its first bytes alone (a file's name and Content-Type may lie)."""

from __future__ import annotations

from server.errors import Fault

ACCEPTED = "JPEG, PNG or WebP"

_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"GIF87a", "a GIF"),
    (b"GIF89a", "a GIF"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"BM", "a BMP"),
    (b"%PDF", "a PDF"),
    (b"<svg", "an SVG"),
    (b"<?xml", "an XML document"),
    (b"<!DOCTYPE", "an HTML document"),
    (b"<html", "an HTML document"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
)


def image_format(data: bytes) -> str | None:
    """`JPEG`, `PNG` or `WEBP` where `data` begins like one, else None."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return None


def check_image(data: bytes, *, by_curl: bool = False) -> None:
    """Fault unsupported_media_type for what is no image we read.

    `by_curl` where the client may be `curl -d`, which leaves out a file's zero bytes and line ends.
    """
    stripped = by_curl and b"\0" not in data  # the header of every whole image has zero bytes
    if image_format(data) is None or stripped:
        found = describe(data)
        advice = " (curl: --data-binary @FILE, not -d)" if by_curl and not found else ""
        raise Fault(
            "unsupported_media_type",
            f"the body is not a {ACCEPTED} image{found}; send the image file's own bytes{advice}",
        )


def describe(data: bytes) -> str:
    """`: it looks like a GIF`, or nothing where we cannot tell."""
    head = data[:64].lstrip()
    if data[4:8] == b"ftyp":
        return ": it looks like a HEIF, AVIF or MP4 file"
    for signature, name in _OTHERS:
        if head.startswith(signature) or data.startswith(signature):
            return f": it looks like {name}"
    return ""
