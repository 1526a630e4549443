"""An image to labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perceiver_core.pipelines.base import Pipeline, Row
from perceiver_core.pipelines.classification import Label, best_labels, check_options, is_quick

if TYPE_CHECKING:
    from perceiver_core.image_processor import PerceiverImageProcessor


@dataclass(frozen=True)
class ImageClassificationInput:
    """An encoded image, how many labels (default 5), and how logits become scores."""

    image: bytes
    top_k: int | None = None
    function_to_apply: str = "softmax"


def decode_trusted(image: bytes) -> NDArray[np.uint8]:
    """An encoded image of the caller's own as RGB uint8 (H, W, 3), upright, transparency over
    white. For strangers' bytes the server has a limited process."""
    from PIL import Image

    from perceiver_core.pixels import to_rgb, upright

    with Image.open(BytesIO(image)) as picture:
        return np.asarray(to_rgb(upright(picture)))


class ImageClassification(Pipeline[ImageClassificationInput, list[Label]]):
    """The three PerceiverForImageClassification classes."""

    task = "image-classification"
    input_type = ImageClassificationInput
    media = True
    decode: Callable[[bytes], NDArray[np.uint8]] = staticmethod(decode_trusted)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """From `id2label`."""
        return self.config.labels

    @cached_property
    def processor(self) -> PerceiverImageProcessor:
        """From `preprocessor_config.json`. Pillow is imported here, at first use."""
        from perceiver_core.image_processor import PerceiverImageProcessor

        return PerceiverImageProcessor.from_pretrained(self.folder)

    def check(self, item: ImageClassificationInput) -> None:
        """Options in range."""
        check_options(item.top_k, item.function_to_apply, len(self.labels))

    def preprocess(self, item: ImageClassificationInput) -> list[Row]:
        """`pixel_values` float32 (3, H, W), cropped, resized and normalised."""
        pixels = self.processor(self.decode(item.image), return_tensors="np").pixel_values
        return [{"pixel_values": np.asarray(pixels[0], np.float32)}]

    def forward(self, model: Any, rows: list[Row]) -> list[Row]:
        """`logits` float32 (num_labels,)."""
        from perceiver_core.pipelines.rows import classify, encode_rows

        latents = encode_rows(model, [row["pixel_values"] for row in rows])
        return [{"logits": logits} for logits in classify(model, latents)]

    def quick(self, item: ImageClassificationInput) -> bool:
        """A short list of few labels."""
        return is_quick(item.top_k, len(self.labels))

    def postprocess(self, item: ImageClassificationInput, rows: Iterable[Row]) -> list[Label]:
        """The k best labels."""
        (row,) = rows
        return best_labels(row["logits"], self.labels, item.top_k, item.function_to_apply)
