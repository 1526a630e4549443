"""Input preprocessors: raw inputs to the array that the encoder reads."""

from perceiver_core.preprocessors.base import Preprocessed, Preprocessor
from perceiver_core.preprocessors.image import PerceiverImagePreprocessor
from perceiver_core.preprocessors.text import PerceiverTextPreprocessor

__all__ = [
    "PerceiverImagePreprocessor",
    "PerceiverTextPreprocessor",
    "Preprocessed",
    "Preprocessor",
]
