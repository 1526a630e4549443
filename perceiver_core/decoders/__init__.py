"""Decoders: queries read outputs from the latents."""

from perceiver_core.decoders.base import PerceiverAbstractDecoder
from perceiver_core.decoders.basic import PerceiverBasicDecoder
from perceiver_core.decoders.classification import PerceiverClassificationDecoder
from perceiver_core.decoders.projection import PerceiverProjectionDecoder

__all__ = [
    "PerceiverAbstractDecoder",
    "PerceiverBasicDecoder",
    "PerceiverClassificationDecoder",
    "PerceiverProjectionDecoder",
]
