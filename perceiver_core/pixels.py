"""Whatever holds an image — PIL image, array, tensor, a batch or list of these — to pixels."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from perceiver_core.errors import InvalidInput

logger = logging.getLogger(__name__)

Array = npt.NDArray[Any]


def flat_images(images: Any, bare: bool) -> list[Image.Image | Array]:
    """Single images, in order; `bare` ones have no channel dimension. Raises InvalidInput."""
    if isinstance(images, (list, tuple)):
        return [image for group in images for image in flat_images(group, bare)]
    if isinstance(images, Image.Image):
        return [images]
    array = images.detach().cpu().numpy() if hasattr(images, "detach") else images
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        raise InvalidInput(
            f"an image is of type {type(images).__name__}: give PIL images, or arrays or tensors "
            "of numbers"
        )
    if array.ndim == 2 or (array.ndim == 3 and not bare):
        return [array]
    if array.ndim == (3 if bare else 4):
        return list(array)
    raise InvalidInput(f"an array of shape {array.shape} is no image and no batch of images")


def rgb_pixels(image: Image.Image | Array, source: str | None) -> Array:
    """(H, W, C) of one image, C 1 or 3; of a PIL image uint8 RGB. Raises InvalidInput."""
    if isinstance(image, Image.Image):
        pixels = np.asarray(to_rgb(image))
    elif image.ndim == 2:
        pixels = image[..., None]
    else:
        first = source == "channels_first" or (source is None and _channels_first(image.shape))
        pixels = np.moveaxis(image, 0, -1) if first else image
    if pixels.shape[-1] == 4 and pixels.dtype == np.uint8 and pixels.size:
        pixels = np.asarray(to_rgb(Image.fromarray(pixels)))
    if pixels.shape[-1] not in (1, 3) or not pixels.size:
        height, width, channels = pixels.shape
        raise InvalidInput(
            f"an image is {height}×{width} with {channels} channels of {pixels.dtype}: it must "
            "have a pixel, and 1 or 3 channels (4 if uint8)"
        )
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InvalidInput("an image has pixels that are not finite: replace NaN and infinity")
    return pixels


def _channels_first(shape: tuple[int, ...]) -> bool:
    known = (1, 3, 4)
    if shape[0] not in known and shape[-1] not in known:
        raise InvalidInput(f"no side of {shape} can be the channels: set input_data_format")
    if shape[0] in known and shape[-1] in known:
        logger.warning(
            "an image of shape %s is read as channels first: set input_data_format", shape
        )
    return shape[0] in known


def to_rgb(image: Image.Image) -> Image.Image:
    """Three 8-bit channels of an image of any mode, transparency over white; InvalidInput for
    modes without a known range."""
    if image.mode in ("I", "F"):
        raise InvalidInput(
            f"an image of mode {image.mode!r} has no known range of values: convert it to 8 bits"
        )
    if image.mode.startswith("I;16"):
        # Pillow would clip 16 bits at 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas


def eight_bit(pixels: Array) -> tuple[Array, bool]:
    """uint8 of values 0…255 or of fractions 0…1, and whether they were fractions."""
    if pixels.dtype == np.uint8:
        return pixels, False
    low, high = pixels.min(), pixels.max()
    whole = pixels.dtype.kind != "f" or np.allclose(pixels, np.trunc(pixels))
    if whole and low >= 0 and high <= 255:
        return pixels.astype(np.uint8), False
    if not whole and low >= 0 and high <= 1:
        return rescale(pixels, 255).astype(np.uint8), True
    raise InvalidInput(f"pixels are {low} to {high}: give whole numbers 0…255 or fractions 0…1")


def rescale(pixels: Array, factor: float) -> Array:
    """Computed in float64 and rounded once, to float32."""
    scaled: Array = (pixels.astype(np.float64) * factor).astype(np.float32)
    return scaled


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says; damaged EXIF is no reason to refuse the picture."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 (Pillow's EXIF reader raises anything)
        return image
