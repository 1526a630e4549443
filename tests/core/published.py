"""The published configurations (perceiver_core's table of facts) and small odd ones."""

from __future__ import annotations

from typing import Any

LANGUAGE: dict[str, Any] = {"qk_channels": 256, "v_channels": 1280}
VISION: dict[str, Any] = {
    "num_latents": 512,
    "d_latents": 1024,
    "num_blocks": 8,
    "num_self_attends_per_block": 6,
    "num_self_attention_heads": 8,
    "num_cross_attention_heads": 1,
    "num_labels": 1000,
    "image_size": 224,
}
LEARNED: dict[str, Any] = {**VISION, "d_model": 512}
FOURIER: dict[str, Any] = {**VISION, "d_model": 261}
CONV: dict[str, Any] = {**VISION, "d_model": 322}

FLOW: dict[str, Any] = {
    "num_latents": 2048,
    "d_latents": 512,
    "d_model": 322,
    "num_self_attends_per_block": 24,
    "num_self_attention_heads": 16,
    "num_cross_attention_heads": 1,
}
MULTIMODAL: dict[str, Any] = {
    "num_latents": 784,
    "d_latents": 512,
    "d_model": 704,
    "num_self_attends_per_block": 8,
    "num_self_attention_heads": 8,
    "num_cross_attention_heads": 1,
    "num_labels": 700,
}

# class, sizes, parameters, tensors of the state dict
PUBLISHED = [
    ("PerceiverForMaskedLM", LANGUAGE, 201_108_230, 457),
    ("PerceiverForImageClassificationLearned", LEARNED, 62_255_848, 141),
    ("PerceiverForImageClassificationFourier", FOURIER, 48_440_627, 136),
    ("PerceiverForImageClassificationConvProcessing", CONV, 48_646_522, 142),
]

SMALL: dict[str, Any] = {
    "num_latents": 7,
    "d_latents": 24,
    "d_model": 16,
    "num_blocks": 1,
    "num_self_attends_per_block": 2,
    "num_self_attention_heads": 4,
    "num_cross_attention_heads": 2,
    "max_position_embeddings": 40,
    "image_size": 20,
    "num_labels": 5,
}
ODD: dict[str, dict[str, Any]] = {
    "plain": {},
    "qk_is_not_v": {"qk_channels": 8, "v_channels": 24},
    "several_blocks": {"num_blocks": 3},
    "cross_shape_q": {"cross_attention_shape_for_attention": "q"},
    "wide_mlps": {"self_attention_widening_factor": 3, "cross_attention_widening_factor": 2},
    "no_query_residual": {"use_query_residual": False},
    "relu": {"hidden_act": "relu"},
    "gelu_new": {"hidden_act": "gelu_new"},
}
