"""What a body is, told by its first bytes alone (a file's name and Content-Type may lie)."""

from __future__ import annotations

from server.errors import Fault

ACCEPTED = "JPEG, PNG or WebP"
ACCEPTED_VIDEO = "MP4, WebM, AVI, Ogg, MPEG-TS or MPEG"

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
    (b"#EXTM3U", "an HLS playlist"),
    (b"ffconcat", "a list of files"),
    (b"<MPD", "a DASH playlist"),
    (b"ID3", "an MP3"),
    (b"fLaC", "a FLAC"),
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


def video_format(data: bytes) -> str | None:
    """`MP4` (QuickTime too), `WebM` (Matroska too), `AVI`, `Ogg`, `MPEG-TS` or `MPEG` where `data`
    begins like one, else None."""
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "MP4"
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return "WebM"
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "AVI"
    if data.startswith(b"OggS"):
        return "Ogg"
    if data[:1] == data[188:189] == b"G" and data[376:377] in (b"", b"G"):  # packets of 188 bytes
        return "MPEG-TS"
    if data.startswith(b"\0\0\1\xba"):
        return "MPEG"
    return None


def check_image(data: bytes, name: str = "the body", *, by_curl: bool = False) -> None:
    """Fault unsupported_media_type for what is no image we read; callers know it as `name`.

    `by_curl` where the client may be `curl -d`, which leaves out a file's zero bytes and line ends.
    """
    _check(image_format(data), f"a {ACCEPTED} image", data, name, by_curl)


def check_video(data: bytes, name: str = "the body", *, by_curl: bool = False) -> None:
    """As check_image, for what is no video we read."""
    _check(video_format(data), f"an {ACCEPTED_VIDEO} video", data, name, by_curl)


def _check(kind: str | None, wanted: str, data: bytes, name: str, by_curl: bool) -> None:
    stripped = by_curl and b"\0" not in data  # the header of every whole file has zero bytes
    if kind is None or stripped:
        found = "" if kind else describe(data)
        advice = " (curl: --data-binary @FILE, not -d)" if by_curl and not found else ""
        raise Fault(
            "unsupported_media_type",
            f"{name} is not {wanted}{found}; send the {wanted.split()[-1]} file's own "
            f"bytes{advice}",
        )


def describe(data: bytes) -> str:
    """`: it looks like a GIF`, or nothing where we cannot tell."""
    head = data[:64].lstrip()
    if data[4:8] == b"ftyp":
        return ": it looks like a HEIF, AVIF or MP4 file"
    if kind := image_format(data):
        return f": it looks like an image ({kind})"
    if kind := video_format(data):
        return f": it looks like a video ({kind})"
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return ": it looks like a WAV"
    for signature, name in _OTHERS:
        if head.startswith(signature) or data.startswith(signature):
            return f": it looks like {name}"
    return ""
