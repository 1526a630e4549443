"""Output postprocessors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.core import peers
from tests.core.parity.case import Case

WHAT = "outputs"
SIZES = {"image": 5, "label": 1, "audio": 4}


def _single(name: str, build: peers.Build) -> Case:
    return Case(name, "outputs", WHAT, build, lambda module, _: module(peers.noise(2, 7, 24)))


def multimodal(is_dict: bool, channels: int) -> peers.Build:
    """Labels, sound and pixels, in an order that is not the alphabet's."""

    def build(c: Any, config: Any) -> Any:
        modalities = {
            "label": c.PerceiverClassificationPostprocessor(config, channels),
            "audio": c.PerceiverAudioPostprocessor(config, channels),
            "image": c.PerceiverProjectionPostprocessor(channels, 3),
        }
        return c.PerceiverMultimodalPostprocessor(modalities, is_dict)

    return build


def _multimodal(variant: str, is_dict: bool, call: Callable[[Any], Any]) -> Case:
    name = "PerceiverMultimodalPostprocessor"
    return Case(name, variant, WHAT, multimodal(is_dict, 24), lambda module, _: call(module))


CASES = [
    _single(
        "PerceiverProjectionPostprocessor",
        lambda c, config: c.PerceiverProjectionPostprocessor(24, 3),
    ),
    _single(
        "PerceiverAudioPostprocessor",
        lambda c, config: c.PerceiverAudioPostprocessor(config, 24),
    ),
    _single(
        "PerceiverClassificationPostprocessor",
        lambda c, config: c.PerceiverClassificationPostprocessor(config, 24),
    ),
    _multimodal(
        "one_tensor", False, lambda post: post(peers.noise(2, 10, 24), modality_sizes=SIZES)
    ),
    _multimodal(
        "dict",
        True,
        lambda post: post({name: peers.noise(2, n, 24) for name, n in SIZES.items()}),
    ),
]
