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
    ("PerceiverForOpticalFlow", FLOW, 41_057_134, 425),
    ("PerceiverForMultimodalAutoencoding", MULTIMODAL, 19_858_855, 183),
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
SMALL_FLOW: dict[str, Any] = {**SMALL, "train_size": [5, 7]}
# Two frames of 8 x 8 pixels, 48 samples in 16 patches: inputs of 24 + 1 elements 392 wide.
SMALL_MULTIMODAL: dict[str, Any] = {
    **SMALL,
    "num_frames": 2,
    "image_size": 2,
    "audio_samples_per_frame": 24,
    "samples_per_patch": 3,
    "output_shape": [1, 2, 8, 8],
    "output_num_channels": 6,
    "_label_trainable_num_channels": 10,
}
ODD: dict[str, dict[str, Any]] = {
    "plain": {},
    "one_cross_head": {"num_cross_attention_heads": 1},
    "qk_is_not_v": {"qk_channels": 8, "v_channels": 24},
    "several_blocks": {"num_blocks": 3},
    "cross_shape_q": {"cross_attention_shape_for_attention": "q"},
    "wide_mlps": {"self_attention_widening_factor": 3, "cross_attention_widening_factor": 2},
    "no_query_residual": {"use_query_residual": False},
    "relu": {"hidden_act": "relu"},
    "gelu_new": {"hidden_act": "gelu_new"},
}
