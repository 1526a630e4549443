"""Untrusted image bytes -> pixels.

Only what begins like a JPEG, PNG or WebP reaches a decoder, and only that format's decoder.
The size is read from the header before a pixel is decoded.  A file that ends early is an error,
never half a picture.  Of an animation the first frame is read.  Colour profiles are ignored.
Every message is ours: Pillow's text may name addresses and internals.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from perceiver_core.errors import InvalidInput
from perceiver_core.pixels import to_rgb, upright
from server.media.limits import Limits, TooLarge
from server.signatures import ACCEPTED, describe, image_format

DAMAGED = "the image is damaged or ends too early: send the whole file"

ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = None  # ours is checked instead: Pillow only refuses above 178 million


class NotAnImage(InvalidInput):
    """The bytes are of no format we decode."""

    code = "unsupported_media_type"


def decode_image(data: bytes, limits: Limits) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The picture as H x W x 3 uint8 RGB: upright (EXIF), transparent parts over white."""
    kind = image_format(data)
    if kind is None:
        raise NotAnImage(f"the image is not a {ACCEPTED}{describe(data)}: convert it first")
    if kind == "WEBP":  # Pillow allocates a WebP's canvas when it opens the file: look first
        limits.check_size("the image", *webp_size(data))
    elif kind == "PNG":  # Pillow reads all that stands before the pixels, which may be much
        limits.check_size("the image", *png_size(data))
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=[kind]) as image:
            warnings.simplefilter("ignore")  # Pillow warns about odd metadata; the size is checked
            limits.check_size("the image", *image.size)
            image.load()
            return np.asarray(to_rgb(upright(image)))
    except InvalidInput:
        raise
    except MemoryError:
        raise TooLarge("the image takes too much memory to decode: send a smaller one") from None
    except Exception:  # noqa: BLE001 (OSError, SyntaxError, struct.error, ZeroDivisionError, …)
        raise InvalidInput(DAMAGED) from None


def png_size(data: bytes) -> tuple[int, int]:
    """Width and height from a PNG's first chunk."""
    if len(data) < 24 or data[12:16] != b"IHDR":
        raise InvalidInput(DAMAGED)
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height from a WebP's header; InvalidInput where the file is cut short."""
    length = int.from_bytes(data[4:8], "little") + 8
    chunk, body = data[12:16], data[20:30]
    if len(data) < length or len(body) < 10:
        raise InvalidInput(DAMAGED)
    if chunk == b"VP8X":  # 24 bits each, minus one
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if chunk == b"VP8L":  # 14 bits each, minus one, behind a signature byte
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":  # 14 bits each, behind a frame tag and a start code
        return (
            int.from_bytes(body[6:8], "little") & 0x3FFF,
            int.from_bytes(body[8:10], "little") & 0x3FFF,
        )
    raise InvalidInput(DAMAGED)
