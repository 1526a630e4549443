"""Pipelines: a task's name to what can be done with a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perceiver_core.config import CONFIG_FILE
from perceiver_core.errors import CheckpointError
from perceiver_core.folders import read_json
from perceiver_core.pipelines.base import Pipeline, Row
from perceiver_core.pipelines.fill_mask import FillMask
from perceiver_core.pipelines.image_classification import ImageClassification
from perceiver_core.pipelines.multimodal_autoencoding import MultimodalAutoencoding
from perceiver_core.pipelines.optical_flow import OpticalFlow
from perceiver_core.pipelines.text_classification import TextClassification

PIPELINES: dict[str, type[Pipeline[Any, Any]]] = {
    pipeline.task: pipeline
    for pipeline in (
        TextClassification,
        FillMask,
        ImageClassification,
        OpticalFlow,
        MultimodalAutoencoding,
    )
}

TASK_OF_ARCHITECTURE = {
    "PerceiverForMaskedLM": FillMask.task,
    "PerceiverForSequenceClassification": TextClassification.task,
    "PerceiverForImageClassificationLearned": ImageClassification.task,
    "PerceiverForImageClassificationFourier": ImageClassification.task,
    "PerceiverForImageClassificationConvProcessing": ImageClassification.task,
    "PerceiverForOpticalFlow": OpticalFlow.task,
    "PerceiverForMultimodalAutoencoding": MultimodalAutoencoding.task,
}


def open_pipeline(folder: Path) -> Pipeline[Any, Any]:
    """The pipeline of a model folder, from its small files only. Raises CheckpointError."""
    names = read_json(folder / CONFIG_FILE).get("architectures") or []
    for name in names:
        if name in TASK_OF_ARCHITECTURE:
            return PIPELINES[TASK_OF_ARCHITECTURE[name]].from_folder(folder)
    known = ", ".join(TASK_OF_ARCHITECTURE)
    raise CheckpointError(f"config.json names architectures {names}: this library has {known}")


__all__ = ["PIPELINES", "TASK_OF_ARCHITECTURE", "Pipeline", "Row", "open_pipeline"]
