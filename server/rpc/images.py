"""perceiver.v1.Image -> RGB pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protos.perceiver.v1 import perceiver_pb2 as pb
from server.errors import Fault
from server.media_pool import MediaPool
from server.signatures import check_image

Pixels = NDArray[np.uint8]


def check_options(number: int, message: pb.FlowFrame | pb.MediaChunk) -> None:
    """Fault where a message of a stream, but the first, carries options."""
    if number and message.HasField("options"):
        raise Fault(
            "invalid_input", "options belong into the first message only: open another stream"
        )


async def pixels_of(
    image: pb.Image, media: MediaPool, max_pixels: int, fit: tuple[int, int] | None = None
) -> Pixels:
    """uint8 (height, width, 3); with `fit` a file is brought to that (height, width), and pixels
    must have it.  A Fault where there are none."""
    match image.WhichOneof("picture"):
        case "file":
            file = image.file
            check_image(file)
            return await media.decode(file, fit)
        case "raw":
            return _raw(image.raw, max_pixels, fit)
    raise Fault("invalid_input", "the image is empty: send a file or raw pixels")


def _raw(raw: pb.RawImage, max_pixels: int, fit: tuple[int, int] | None) -> Pixels:
    size, rgb = (raw.height, raw.width), raw.rgb
    shown = f"{raw.height}×{raw.width}"
    if min(size) < 1:
        raise Fault("invalid_input", f"the raw image is {shown} pixels: it must have at least one")
    if raw.height * raw.width > max_pixels:
        raise Fault(
            "too_large",
            f"the raw image is {shown} = {raw.height * raw.width} pixels, the limit is "
            f"{max_pixels}: send a smaller one",
        )
    if len(rgb) != raw.height * raw.width * 3:
        raise Fault(
            "invalid_input",
            f"the raw image is {shown} and has {len(rgb)} bytes: it must have height × width × 3 = "
            f"{raw.height * raw.width * 3}",
        )
    if fit is not None and size != fit:
        raise Fault(
            "invalid_input",
            f"the raw image is {shown}, the model's frames are {fit[0]}×{fit[1]}: send that size, "
            "or a file",
        )
    return np.frombuffer(rgb, np.uint8).reshape(*size, 3)
