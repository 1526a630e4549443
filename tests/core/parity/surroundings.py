"""Configuration, outputs, tokenizer and image processor: no tensors of their own."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import transformers
from transformers.models.perceiver.image_processing_pil_perceiver import PerceiverImageProcessorPil

import perceiver_core
from tests.core import peers
from tests.core.parity.case import Plain

OUTPUTS = ("Model", "Decoder", "MaskedLM", "Classifier")
TEXTS = ["Grüße, [MASK][MASK] 😀\0 [pad].", "", "[CLS] a[SEP]b", "x" * 50]
TEXT_OPTIONS: dict[str, dict[str, Any]] = {
    "padded": {"padding": True},
    "raw": {"padding": True, "add_special_tokens": False},
    "truncated": {"padding": "max_length", "truncation": True, "max_length": 20},
    "all_fields": {
        "padding": True,
        "return_token_type_ids": True,
        "return_special_tokens_mask": True,
        "pad_to_multiple_of": 7,
    },
}
IMAGE_OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "sizes": {"size": {"height": 31, "width": 48}, "crop_size": {"height": 40, "width": 64}},
    "no_crop": {"do_center_crop": False},
    "pixels": {"do_rescale": False, "do_normalize": False, "do_resize": False},
}


def _fields(classes: Any, name: str) -> dict[str, Any]:
    """The fields of an output class and their defaults, in order."""
    kind = getattr(classes, name)
    return {f.name: f.default for f in dataclasses.fields(kind)}


def _mapping(classes: Any, name: str) -> tuple[Any, ...]:
    """An output filled in but for one field, read in every way."""
    names = [f.name for f in dataclasses.fields(getattr(classes, name))]
    values = {key: peers.noise(2, number + 1) for number, key in enumerate(names[1:])}
    output = getattr(classes, name)(**values)
    return tuple(output.keys()), output.to_tuple(), output[0], output[names[1]], len(output)


def _output(name: str) -> list[Plain]:
    return [
        Plain(
            name,
            "fields",
            "fields, order, access",
            lambda: _fields(perceiver_core, name),
            lambda: _fields(peers.THEIRS, name),
        ),
        Plain(
            name,
            "access",
            "fields, order, access",
            lambda: _mapping(perceiver_core, name),
            lambda: _mapping(peers.THEIRS, name),
        ),
    ]


def _config_values(config: Any) -> dict[str, Any]:
    """What the documentation lists, and labels."""
    names = [f.name for f in dataclasses.fields(perceiver_core.PerceiverConfig)]
    left_to_the_task = ("architectures", "problem_type", "label2id", "id2label", "hidden_act")
    return {name: getattr(config, name) for name in names if name not in left_to_the_task}


def _text(tokenizer: Any, options: dict[str, Any]) -> tuple[Any, ...]:
    """Every field of the texts, and the texts back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoding = tokenizer(TEXTS, return_tensors="pt", **options)
    decoded = tuple(tokenizer.decode(row) for row in encoding["input_ids"])
    return {name: encoding[name] for name in sorted(encoding)}, decoded


def _image(processor: Any, options: dict[str, Any]) -> Any:
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (97, 64, 3), dtype=np.uint8) for _ in range(2)]
    return processor(images, return_tensors="pt", **options)["pixel_values"]


def _tokenizer(variant: str) -> Plain:
    options = TEXT_OPTIONS[variant]
    return Plain(
        "PerceiverTokenizer",
        variant,
        "ids, masks, and the texts back",
        lambda: _text(perceiver_core.PerceiverTokenizer(), options),
        lambda: _text(transformers.PerceiverTokenizer(), options),
    )


def _processor(name: str, variant: str) -> Plain:
    options = IMAGE_OPTIONS[variant]
    return Plain(
        name,
        variant,
        "pixel_values, beside the Pillow backend",
        lambda: _image(getattr(perceiver_core, name)(), options),
        lambda: _image(PerceiverImageProcessorPil(), options),
    )


CASES = [
    *(plain for name in OUTPUTS for plain in _output(f"Perceiver{name}Output")),
    Plain(
        "PerceiverConfig",
        "defaults",
        "every value equal",
        lambda: _config_values(perceiver_core.PerceiverConfig()),
        lambda: _config_values(transformers.PerceiverConfig()),
    ),
    *(_tokenizer(variant) for variant in TEXT_OPTIONS),
    *(
        _processor(name, variant)
        for name in ("PerceiverFeatureExtractor", "PerceiverImageProcessor")
        for variant in IMAGE_OPTIONS
    ),
]
