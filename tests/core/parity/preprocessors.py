"""Input preprocessors."""

from __future__ import annotations

from typing import Any

import torch

from tests.core import peers
from tests.core.parity.case import Case
from tests.core.published import SMALL

WHAT = "inputs with and without positions"
IMAGES: dict[str, dict[str, Any]] = {
    "conv": {"prep_type": "conv", "spatial_downsample": 4, "out_channels": 10},
    "conv_no_batchnorm": {"prep_type": "conv", "conv2d_use_batchnorm": False, "out_channels": 10},
    "conv1x1": {"prep_type": "conv1x1", "spatial_downsample": 2, "out_channels": 10},
    "patches": {"prep_type": "patches", "spatial_downsample": 2},
    "patches_conv_after": {
        "prep_type": "patches",
        "spatial_downsample": 2,
        "conv_after_patching": True,
        "conv_after_patching_in_channels": 12,
        "out_channels": 10,
    },
    "pixels": {"prep_type": "pixels", "spatial_downsample": 1},
}
# of an image of 16 x 16
ELEMENTS = {"conv": 9, "conv_no_batchnorm": 9, "pixels": 256}


def fourier(*resolution: int, bands: int = 4, **options: Any) -> dict[str, Any]:
    """Arguments of Fourier positions."""
    positions = {"num_bands": bands, "max_resolution": resolution, **options}
    return {"position_encoding_type": "fourier", "fourier_position_encoding_kwargs": positions}


def learned(index_dims: int | tuple[int, ...], channels: int = 10) -> dict[str, Any]:
    """Arguments of trainable positions."""
    positions = {"num_channels": channels, "index_dims": index_dims}
    return {"position_encoding_type": "trainable", "trainable_position_encoding_kwargs": positions}


def _case(
    kind: str, variant: str, options: dict[str, Any], *shape: int, interpolate: bool = False
) -> Case:
    """`kind`: "Image" or "Audio"; inputs of `shape`."""
    name = f"Perceiver{kind}Preprocessor"
    follow = {"interpolate_pos_encoding": True} if interpolate else {}

    def call(module: Any, _: dict[str, bool]) -> Any:
        out = module(peers.noise(*shape), **follow)
        assert module.num_channels == out[0].shape[-1]
        return tuple(out)

    return Case(name, variant, WHAT, lambda c, config: getattr(c, name)(config, **options), call)


def _of_images(kind: str, encoding: str, project: int) -> Case:
    options = dict(IMAGES[kind])
    positions = fourier(16, 16) if encoding == "fourier" else learned(ELEMENTS.get(kind, 64))
    if project > 0:
        # The published port projects from out_channels: they must be the positions' channels.
        options |= {"project_pos_dim": project, "out_channels": 18 if encoding == "fourier" else 10}
    suffix = "_projected" if project > 0 else ""
    return _case("Image", f"{kind}_{encoding}{suffix}", {**options, **positions}, 2, 3, 16, 16)


ADDED = {**IMAGES["conv1x1"], "concat_or_add_pos": "add"}
VIDEO = {"prep_type": "patches", "spatial_downsample": 4, "temporal_downsample": 2}
FLOW = {
    "prep_type": "patches",
    "spatial_downsample": 1,
    "temporal_downsample": 2,
    "conv_after_patching": True,
    "out_channels": 9,
}
PATCHED = {"samples_per_patch": 6}

MODALITIES = ("audio", "image", "label")
MASKS: dict[str, dict[str, float] | None] = {
    "unmasked": None,
    "never_and_always": {"audio": 0.0, "image": 0.0, "label": 1.0},
    "all_replaced": dict.fromkeys(MODALITIES, 1.0),
    "one_drawn": {"image": 0.4},
    "all_drawn": {"image": 0.3, "audio": 0.5, "label": 0.9},
}


def multimodal(mask_probs: dict[str, float] | None, padding: int) -> peers.Build:
    """Audio, images and labels as one array; in an order that is not the alphabet's."""

    def build(classes: Any, config: Any) -> torch.nn.Module:
        each = {
            "label": classes.PerceiverOneHotPreprocessor(config),
            "image": classes.PerceiverImagePreprocessor(config, **VIDEO, **fourier(2, 4, 4)),
            "audio": classes.PerceiverAudioPreprocessor(config, **PATCHED, **fourier(24, bands=5)),
        }
        preprocessor: torch.nn.Module = classes.PerceiverMultimodalPreprocessor(
            each, mask_probs, padding
        )
        return preprocessor

    return build


def modalities() -> dict[str, torch.Tensor]:
    """Inputs of `multimodal`."""
    return {
        "audio": peers.noise(2, 24, 1),
        "image": peers.noise(2, 4, 3, 8, 8),
        "label": peers.noise(2, SMALL["num_labels"]),
    }


def _multimodal_case(masks: str, padding: int) -> Case:
    def call(module: Any, _: dict[str, bool]) -> Any:
        torch.manual_seed(3)  # both draw what they replace from the global generator
        return tuple(module(modalities()))

    name = "PerceiverMultimodalPreprocessor"
    return Case(name, f"{masks}_{padding}", WHAT, multimodal(MASKS[masks], padding), call)


CASES = [
    Case(
        "PerceiverTextPreprocessor",
        "bytes",
        WHAT,
        lambda c, config: c.PerceiverTextPreprocessor(config),
        lambda module, _: tuple(module(peers.text(33)[0])),
    ),
    *(_of_images(k, e, p) for k in IMAGES for e in ("fourier", "trainable") for p in (-1, 6)),
    _case("Image", "positions_added", {**ADDED, **learned(64)}, 2, 3, 16, 16),
    _case("Image", "other_fourier_size", {**IMAGES["conv"], **fourier(16, 16)}, 1, 3, 21, 34),
    _case("Image", "sines_only", {**IMAGES["pixels"], **fourier(9, 7, sine_only=True)}, 2, 3, 9, 7),
    *(
        _case(
            "Image",
            f"interpolated_{height}x{width}",
            {**IMAGES["conv1x1"], **learned(49), "project_pos_dim": 6},
            *(2, 3, height, width),
            interpolate=True,
        )
        for height, width in ((14, 14), (16, 16), (31, 18), (2, 6))
    ),
    _case("Image", "video_blocks", {**VIDEO, **fourier(2, 2, 2)}, 1, 4, 3, 8, 8),
    _case("Image", "video_pixels", {**IMAGES["pixels"], **fourier(3, 6, 5)}, 2, 3, 3, 6, 5),
    _case("Image", "flow_patches", {**FLOW, **fourier(6, 8)}, 2, 2, 27, 6, 8),
    Case(
        "PerceiverOneHotPreprocessor",
        "labels",
        WHAT,
        lambda c, config: c.PerceiverOneHotPreprocessor(config),
        lambda module, _: tuple(module(peers.noise(2, SMALL["num_labels"]))),
    ),
    _case("Audio", "fourier", {**PATCHED, **fourier(24)}, 2, 24, 1),
    _case("Audio", "defaults", fourier(192, bands=7), 2, 192, 1),
    _case("Audio", "other_length", {**PATCHED, **fourier(24)}, 2, 42, 1),
    _case("Audio", "trainable", {**PATCHED, **learned(4)}, 2, 24, 1),
    _case("Audio", "added", {**PATCHED, **learned(4, 6), "concat_or_add_pos": "add"}, 2, 24, 1),
    _case(
        "Audio",
        "projected",
        {**PATCHED, **fourier(24), "out_channels": 9, "project_pos_dim": 5},
        *(2, 24, 1),
    ),
    *(_multimodal_case(masks, 2) for masks in MASKS),
    _multimodal_case("never_and_always", 7),
]
