"""Decoders: queries read outputs from the latents."""

from perceiver_core.decoders.base import PerceiverAbstractDecoder
from perceiver_core.decoders.basic import PerceiverBasicDecoder
from perceiver_core.decoders.classification import PerceiverClassificationDecoder
from perceiver_core.decoders.multimodal import PerceiverMultimodalDecoder
from perceiver_core.decoders.optical_flow import PerceiverOpticalFlowDecoder
from perceiver_core.decoders.projection import PerceiverProjectionDecoder
from perceiver_core.decoders.video import PerceiverBasicVideoAutoencodingDecoder

__all__ = [
    "PerceiverAbstractDecoder",
    "PerceiverBasicDecoder",
    "PerceiverBasicVideoAutoencodingDecoder",
    "PerceiverClassificationDecoder",
    "PerceiverMultimodalDecoder",
    "PerceiverOpticalFlowDecoder",
    "PerceiverProjectionDecoder",
]
