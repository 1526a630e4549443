"""Images of any kind to the pixel values that Perceiver's image classifiers were trained on."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from perceiver_core.encoding import BatchEncoding, at_least, one_of, stack, tensor_kind, unused
from perceiver_core.errors import CheckpointError, InvalidInput
from perceiver_core.folders import model_folder, read_json
from perceiver_core.pixels import Array, eight_bit, flat_images, rescale, rgb_pixels

logger = logging.getLogger(__name__)

PROCESSOR_FILE = "preprocessor_config.json"
_IMAGENET_MEAN = [0.485, 0.456, 0.406]
_IMAGENET_STD = [0.229, 0.224, 0.225]


class ChannelDimension(StrEnum):
    """Where the channels of an array are; NONE for images of height × width alone."""

    FIRST = "channels_first"
    LAST = "channels_last"
    NONE = "none"


class PerceiverImageProcessor:
    """Centre crop, resize, rescale, normalise (seed: PerceiverImageProcessor).

    The crop is `size / crop_size` of the shorter side, 7/8 by default; `size` is what comes out.
    Sizes are an int, (height, width) or a dict of both; mean and std one float or one a channel.
    Options besides these are ignored with a logged warning. Raises InvalidInput.
    """

    def __init__(
        self,
        do_center_crop: bool = True,
        crop_size: Any = None,
        do_resize: bool = True,
        size: Any = None,
        resample: int = Image.Resampling.BICUBIC,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
        do_normalize: bool = True,
        image_mean: float | list[float] | None = None,
        image_std: float | list[float] | None = None,
        **kwargs: Any,
    ) -> None:
        self.do_center_crop = do_center_crop
        self.crop_size = _height_width("crop_size", 256 if crop_size is None else crop_size)
        self.do_resize = do_resize
        self.size = _height_width("size", 224 if size is None else size)
        self.resample = one_of("resample", resample, [int(known) for known in Image.Resampling])
        self.do_rescale = do_rescale
        self.rescale_factor = rescale_factor
        self.do_normalize = do_normalize
        self.image_mean = _per_channel(_IMAGENET_MEAN if image_mean is None else image_mean)
        self.image_std = _per_channel(_IMAGENET_STD if image_std is None else image_std)
        if not np.all(self.image_std):
            raise InvalidInput(f"image_std is {self.image_std}: pixels cannot be divided by 0")
        unused("PerceiverImageProcessor", kwargs)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **kwargs: Any) -> PerceiverImageProcessor:
        """From a model folder's preprocessor_config.json, or the defaults where it has none.

        Keys that are not known are ignored; `kwargs` win over the file. Raises CheckpointError.
        """
        file = model_folder(folder) / PROCESSOR_FILE
        values = read_json(file) if file.exists() else {}
        known = {name: values[name] for name in vars(cls()) if name in values}
        try:
            return cls(**{**known, **kwargs})
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{PROCESSOR_FILE}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """The options as preprocessor_config.json has them."""
        return {**vars(self), "image_processor_type": "PerceiverImageProcessor"}

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes preprocessor_config.json into `folder`, which is made if missing."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_dict(), indent=2, sort_keys=True)
        (Path(folder) / PROCESSOR_FILE).write_text(text + "\n", encoding="utf-8")

    def __call__(self, images: Any, **options: Any) -> BatchEncoding:
        """`preprocess`."""
        return self.preprocess(images, **options)

    def preprocess(
        self,
        images: Any,
        do_center_crop: bool | None = None,
        crop_size: Any = None,
        do_resize: bool | None = None,
        size: Any = None,
        resample: int | None = None,
        do_rescale: bool | None = None,
        rescale_factor: float | None = None,
        do_normalize: bool | None = None,
        image_mean: float | list[float] | None = None,
        image_std: float | list[float] | None = None,
        return_tensors: str | None = None,
        data_format: str = ChannelDimension.FIRST,
        input_data_format: str | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """`pixel_values` of one image or many (seed: preprocess); an option set here wins.

        An image is a PIL image or an array or tensor of (C, H, W), (H, W, C) or (H, W), values
        0…255, or 0…1 with `do_rescale=False`; four dimensions are a batch. Gives a list of
        (3, 224, 224) float32 by default, for 'np' and 'pt' one of (images, 3, 224, 224). Grey
        becomes RGB, transparency white. Raises InvalidInput.
        """
        unused("PerceiverImageProcessor", kwargs)
        given = {
            "do_center_crop": do_center_crop,
            "crop_size": crop_size,
            "do_resize": do_resize,
            "size": size,
            "resample": resample,
            "do_rescale": do_rescale,
            "rescale_factor": rescale_factor,
            "do_normalize": do_normalize,
            "image_mean": image_mean,
            "image_std": image_std,
        }
        given = {name: value for name, value in given.items() if value is not None}
        processor = PerceiverImageProcessor(**{**vars(self), **given})
        kind = tensor_kind(return_tensors)
        target = one_of("data_format", data_format, ("channels_first", "channels_last"))
        source = one_of(
            "input_data_format",
            input_data_format,
            (None, "channels_first", "channels_last", "none"),
        )
        found = flat_images(images, bare=source == "none")
        if not found:
            raise InvalidInput("images is an empty list: give at least one image")
        rows = [processor._process(rgb_pixels(image, source)) for image in found]
        if target == "channels_first":
            rows = [np.moveaxis(row, -1, 0) for row in rows]
        # Copies: nothing handed out shares memory with an image handed in.
        rows = [np.array(row, order="C") for row in rows]
        advice = "set do_resize=True, or leave return_tensors out"
        values = stack("pixel_values", rows, kind, advice) if kind else rows
        return BatchEncoding(pixel_values=values)

    def _process(self, pixels: Array) -> Array:
        """(H, W, C) to (size, C), every step that is on."""
        pixels = self._matching_channels(pixels)
        if self.do_center_crop:
            pixels = self._center_crop(pixels)
        if self.do_resize:
            pixels = self._resize(pixels)
        if self.do_rescale:
            pixels = rescale(pixels, self.rescale_factor)
        if self.do_normalize:
            pixels = pixels if pixels.dtype.kind == "f" else pixels.astype(np.float32)
            mean, std = (np.array(v, pixels.dtype) for v in (self.image_mean, self.image_std))
            pixels = (pixels - mean) / std
        return pixels

    def _matching_channels(self, pixels: Array) -> Array:
        """Grey repeated where mean or std name three channels; other mismatches raise."""
        channels = pixels.shape[-1]
        wanted = {np.size(self.image_mean), np.size(self.image_std)}
        if channels == 1 and wanted <= {1, 3}:
            return np.repeat(pixels, max(wanted), axis=-1)
        if self.do_normalize and not wanted <= {1, channels}:
            raise InvalidInput(
                f"an image has {channels} channels, image_mean is {self.image_mean} and image_std "
                f"{self.image_std}: give one float, or one a channel"
            )
        return pixels

    def _center_crop(self, pixels: Array) -> Array:
        """The middle, `size / crop_size` of the shorter side; zeros where there are no pixels."""
        shorter = min(pixels.shape[:2])
        slices, margins = [], []
        for side, length in zip(("height", "width"), pixels.shape[:2], strict=True):
            # At least one pixel, so that an image one pixel high or wide has something to resize.
            crop = max(1, int(self.size[side] / self.crop_size[side] * shorter))
            start = (length - crop) // 2
            before = max(0, -start)
            slices.append(slice(max(0, start), max(0, start) + crop))
            margins.append((before, max(0, crop - length - before)))
        pixels = pixels[tuple(slices)]
        return np.pad(pixels, [*margins, (0, 0)]) if np.any(margins) else pixels

    def _resize(self, pixels: Array) -> Array:
        """(H, W, C) resized by Pillow as 8-bit values; fractions come back as such, float32."""
        values, fractions = eight_bit(pixels)
        if fractions and self.do_rescale:
            logger.warning("pixels are 0…1 already: set do_rescale=False, or give 0…255")
        image = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
        target = (self.size["width"], self.size["height"])
        resized = np.asarray(image.resize(target, Image.Resampling(self.resample)))
        resized = resized.reshape(*resized.shape[:2], -1)
        return rescale(resized, 1 / 255) if fractions else resized


PerceiverFeatureExtractor = PerceiverImageProcessor


def _height_width(name: str, value: Any) -> dict[str, int]:
    """A size as {"height": …, "width": …}, each 1 or more."""
    sides = (value, value) if isinstance(value, int) else value
    if isinstance(sides, Mapping):
        sides = [sides[side] for side in ("height", "width") if side in sides]
    if not isinstance(sides, (list, tuple)) or [type(side) for side in sides] != [int, int]:
        raise InvalidInput(f"{name} must be an int or a height and a width, not {value!r}")
    height, width = (at_least(name, side, 1) for side in sides)
    return {"height": height, "width": width}


def _per_channel(value: Any) -> float | list[float]:
    return [float(v) for v in value] if np.ndim(value) else float(value)
