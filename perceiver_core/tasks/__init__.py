"""The task models: a PerceiverModel with the published preprocessor and decoder of its task."""

from __future__ import annotations

from pathlib import Path

from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import CONFIG_FILE
from perceiver_core.errors import CheckpointError
from perceiver_core.folders import read_json
from perceiver_core.tasks.classification import (
    PerceiverForImageClassificationConvProcessing,
    PerceiverForImageClassificationFourier,
    PerceiverForImageClassificationLearned,
    PerceiverForSequenceClassification,
)
from perceiver_core.tasks.masked_lm import PerceiverForMaskedLM
from perceiver_core.tasks.multimodal_autoencoding import PerceiverForMultimodalAutoencoding
from perceiver_core.tasks.optical_flow import PerceiverForOpticalFlow

TASK_MODELS: dict[str, type[PreTrainedModel]] = {
    model.__name__: model
    for model in (
        PerceiverForMaskedLM,
        PerceiverForSequenceClassification,
        PerceiverForImageClassificationLearned,
        PerceiverForImageClassificationFourier,
        PerceiverForImageClassificationConvProcessing,
        PerceiverForOpticalFlow,
        PerceiverForMultimodalAutoencoding,
    )
}


def load_model(folder: Path, numerics: str, device: str, dtype: str) -> PreTrainedModel:
    """The task model that the folder's `architectures` names. Raises CheckpointError."""
    names = read_json(folder / CONFIG_FILE).get("architectures") or []
    for name in names:
        if name in TASK_MODELS:
            model = TASK_MODELS[name]
            return model.from_pretrained(folder, numerics=numerics, device=device, dtype=dtype)
    known = ", ".join(sorted(TASK_MODELS))
    raise CheckpointError(f"config.json names architectures {names}: this library has {known}")


__all__ = [
    "TASK_MODELS",
    "PerceiverForImageClassificationConvProcessing",
    "PerceiverForImageClassificationFourier",
    "PerceiverForImageClassificationLearned",
    "PerceiverForMaskedLM",
    "PerceiverForMultimodalAutoencoding",
    "PerceiverForOpticalFlow",
    "PerceiverForSequenceClassification",
    "load_model",
]
