"""Tiny model folders with every tensor drawn at random from a seed: real checkpoints, made in
milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from perceiver_core import tasks
from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import PerceiverConfig
from perceiver_core.image_processor import PerceiverImageProcessor
from perceiver_core.pipelines.text import BYTE_0

SIZES: dict[str, Any] = {
    "num_latents": 8,
    "d_latents": 32,
    "d_model": 16,
    "num_blocks": 1,
    "num_self_attends_per_block": 2,
    "num_self_attention_heads": 4,
    "num_cross_attention_heads": 2,
    "max_position_embeddings": 256,
    "image_size": 32,
    "num_labels": 5,
}


@torch.no_grad()
def randomise(model: torch.nn.Module, seed: int = 0) -> None:
    """Draw EVERY tensor: default initialisation hides mistakes in biases, gains and statistics."""
    random = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=random) + 0.5)
            continue
        fan_in = tensor.shape[-1] if tensor.ndim > 1 else 4
        tensor.copy_(torch.randn(tensor.shape, generator=random) * (1.5 / fan_in**0.5))
        if "layernorm" in name and name.endswith("weight"):
            tensor.add_(1.0)


def make(kind: type[PreTrainedModel], folder: Path, seed: int = 0, **sizes: Any) -> Any:
    """Write a random model of a task class into `folder` and return it."""
    model = kind(PerceiverConfig(**{**SIZES, **sizes})).eval()
    randomise(model, seed)
    model.save_pretrained(folder)
    return model


def make_text_classifier(folder: Path, *, nan_byte: int | None = None, **sizes: Any) -> Path:
    """A text classifier; the embedding of `nan_byte`, if given, is NaN."""
    model = make(tasks.PerceiverForSequenceClassification, folder, **sizes)
    if nan_byte is not None:
        table = model.perceiver.input_preprocessor.embeddings.weight
        table.data[nan_byte + BYTE_0] = torch.nan
        model.save_pretrained(folder)
    return folder


def make_fill_mask(folder: Path, **sizes: Any) -> Path:
    """A byte masked-language model."""
    make(tasks.PerceiverForMaskedLM, folder, **sizes)
    return folder


def make_image_classifier(folder: Path, **sizes: Any) -> Path:
    """A convolutional image classifier of 32 x 32 pixels with its image processor."""
    make(tasks.PerceiverForImageClassificationConvProcessing, folder, **sizes)
    side = {"height": SIZES["image_size"], "width": SIZES["image_size"]}
    PerceiverImageProcessor(crop_size=side, size=side).save_pretrained(folder)
    return folder


def make_optical_flow(folder: Path, **sizes: Any) -> Path:
    """Optical flow in tiles of 16 x 24 pixels."""
    given = {"num_cross_attention_heads": 1, "train_size": [16, 24], **sizes}
    make(tasks.PerceiverForOpticalFlow, folder, **given)
    return folder


def make_multimodal(folder: Path, **sizes: Any) -> Path:
    """Multimodal autoencoding in clips of 2 frames, 16 x 16 pixels, 25 a second, with 640
    samples at 8 kHz."""
    given = {
        "num_cross_attention_heads": 1,
        "num_frames": 2,
        "output_shape": [1, 2, 16, 16],
        "image_size": 4,
        "audio_samples_per_frame": 320,
        "output_num_channels": 12,
        "_label_trainable_num_channels": 8,
        **sizes,
    }
    make(tasks.PerceiverForMultimodalAutoencoding, folder, **given)
    return folder
