"""Input preprocessors: raw inputs to the array that the encoder reads."""

from perceiver_core.preprocessors.audio import PerceiverAudioPreprocessor
from perceiver_core.preprocessors.base import Preprocessed, Preprocessor
from perceiver_core.preprocessors.image import PerceiverImagePreprocessor
from perceiver_core.preprocessors.multimodal import PerceiverMultimodalPreprocessor
from perceiver_core.preprocessors.one_hot import PerceiverOneHotPreprocessor
from perceiver_core.preprocessors.text import PerceiverTextPreprocessor

__all__ = [
    "PerceiverAudioPreprocessor",
    "PerceiverImagePreprocessor",
    "PerceiverMultimodalPreprocessor",
    "PerceiverOneHotPreprocessor",
    "PerceiverTextPreprocessor",
    "Preprocessed",
    "Preprocessor",
]
