"""Perceiver and Perceiver IO: every class of the published models, under the published names.

Names are imported at first use, so that a process which only tokenises never loads torch.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "config": ["PerceiverConfig"],
    "errors": ["CheckpointError", "InvalidInput"],
    "tokenizer": ["PerceiverTokenizer"],
    "image_processor": ["PerceiverFeatureExtractor", "PerceiverImageProcessor"],
    "outputs": [
        "PerceiverClassifierOutput",
        "PerceiverDecoderOutput",
        "PerceiverMaskedLMOutput",
        "PerceiverModelOutput",
    ],
    "preprocessors": [
        "PerceiverAudioPreprocessor",
        "PerceiverImagePreprocessor",
        "PerceiverMultimodalPreprocessor",
        "PerceiverOneHotPreprocessor",
        "PerceiverTextPreprocessor",
    ],
    "decoders": [
        "PerceiverAbstractDecoder",
        "PerceiverBasicDecoder",
        "PerceiverBasicVideoAutoencodingDecoder",
        "PerceiverClassificationDecoder",
        "PerceiverMultimodalDecoder",
        "PerceiverOpticalFlowDecoder",
        "PerceiverProjectionDecoder",
    ],
    "postprocessors": [
        "PerceiverAudioPostprocessor",
        "PerceiverClassificationPostprocessor",
        "PerceiverMultimodalPostprocessor",
        "PerceiverProjectionPostprocessor",
    ],
    "model": ["PerceiverModel"],
    "tasks": [
        "PerceiverForImageClassificationConvProcessing",
        "PerceiverForImageClassificationFourier",
        "PerceiverForImageClassificationLearned",
        "PerceiverForMaskedLM",
        "PerceiverForMultimodalAutoencoding",
        "PerceiverForOpticalFlow",
        "PerceiverForSequenceClassification",
    ],
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605  # a list of str, built


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"perceiver_core has no {name!r}")
    return getattr(import_module(f"perceiver_core.{_MODULE_OF[name]}"), name)
