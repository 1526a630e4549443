"""PerceiverModel and the task models: logits, hidden states, attention maps of both kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.core import peers
from tests.core.parity import decoders, postprocessors, preprocessors
from tests.core.parity.case import Case
from tests.core.published import ODD, SMALL, SMALL_FLOW, SMALL_MULTIMODAL

WHAT = "loss, logits, hidden states, attentions"
Ask = dict[str, bool]
Call = Callable[[Any, Ask], Any]
MLM, SEQUENCE = peers.TEXT_MODELS
FLOW, MULTIMODAL = "PerceiverForOpticalFlow", "PerceiverForMultimodalAutoencoding"


def _task(name: str, variant: str, sizes: dict[str, Any], call: Call) -> Case:
    return Case(name, variant, WHAT, lambda c, config: getattr(c, name)(config), call, sizes)


def _text(name: str, odd: str) -> Case:
    ids, mask = peers.text(33)
    return _task(
        name,
        odd,
        {**SMALL, **ODD[odd]},
        lambda model, ask: model(inputs=ids, attention_mask=mask, **ask),
    )


def _image(name: str, odd: str, height: int, width: int) -> Case:
    sizes = {**SMALL, **ODD[odd]}
    if "Fourier" in name and not sizes.get("qk_channels"):
        sizes["num_cross_attention_heads"] = 1  # 261 channels divide by 3, 9 … only
    pixels = peers.image(height, width)
    follow = {"interpolate_pos_encoding": True} if "Learned" in name else {}
    return _task(
        name,
        f"{odd}_{height}x{width}",
        sizes,
        lambda model, ask: model(inputs=pixels, **ask, **follow),
    )


def _with_labels(name: str, labels: str, return_dict: bool) -> Case:
    """`labels`: those of LABELS, the kinds of loss."""
    sizes = {**SMALL, "num_labels": 1} if labels == "regression" else SMALL
    if "Fourier" in name:
        sizes = {**sizes, "num_cross_attention_heads": 1}
    inputs = peers.text(40)[0] if name in peers.TEXT_MODELS else peers.image(20, 20, batch=3)
    if return_dict:
        return _task(
            name,
            labels,
            sizes,
            lambda model, ask: model(inputs, labels=LABELS[labels], **ask),
        )
    return _task(
        name,
        f"{labels}_tuple",
        sizes,
        lambda model, _: model(inputs, labels=LABELS[labels], **TUPLE),
    )


# Without attention maps: in a tuple theirs puts the decoder's beside those of the encoder.
TUPLE = {"return_dict": False, "output_hidden_states": True}
LABELS = {
    "classes": torch.tensor([0, 3, 4]),
    "regression": torch.tensor([0.5, -1.0, 2.0]),
    "several": torch.tensor([[0, 1.0, 0, 1, 1]] * 3),
    "bytes": peers.text(40, seed=1)[0].index_fill(1, torch.arange(0, 40, 3), -100),
}


def _flow(variant: str, odd: str, height: int, width: int) -> Case:
    """The published class is bound to the trained size by one reshape, which is let follow."""

    def build(c: Any, config: Any) -> Any:
        model = c.PerceiverForOpticalFlow(config)
        if c is peers.THEIRS:
            model.perceiver.decoder.output_image_shape = [height, width]
        return model

    patches = peers.noise(2, 2, 27, height, width)
    sizes = {**SMALL_FLOW, **ODD[odd]}
    return Case(FLOW, variant, WHAT, build, lambda model, ask: model(patches, **ask), sizes)


def clip(frames: int = 2, height: int = 8, width: int = 8, samples: int = 48) -> dict[str, Any]:
    """Random inputs of the small multimodal model."""
    return {
        "image": peers.noise(2, frames, 3, height, width),
        "audio": peers.noise(2, samples, 1, seed=1),
        "label": peers.noise(2, SMALL["num_labels"], seed=2),
    }


SOME = {"image": torch.tensor([0, 5, 127, 64]), "audio": torch.tensor([15, 0, 7]), "label": None}
ALL = {"image": torch.arange(2 * 8 * 8), "audio": torch.arange(16), "label": None}


def _multimodal(variant: str, odd: str = "plain", inputs: Any = None, mask: Any = None) -> Case:
    inputs = clip() if inputs is None else inputs
    options = {"subsampled_output_points": SOME, "attention_mask": mask}
    return _task(
        MULTIMODAL,
        variant,
        {**SMALL_MULTIMODAL, **ODD[odd]},
        lambda model, ask: model(inputs, **options, **ask),
    )


def _everything(model: Any, ask: Ask) -> Any:
    """Ours decodes all outputs where no points are given, which theirs cannot."""
    points = ALL if peers.is_theirs(model) else None
    return model(clip(), subsampled_output_points=points, **ask)


def _assembled(c: Any, config: Any) -> Any:
    """A PerceiverModel of multimodal parts."""
    return c.PerceiverModel(
        config,
        decoder=decoders.multimodal(c, config),
        input_preprocessor=preprocessors.multimodal({"label": 1.0}, 3)(c, config),
        output_postprocessor=postprocessors.multimodal(False, 6)(c, config),
    )


def _assembled_outputs(model: Any, ask: Ask) -> Any:
    inputs = preprocessors.modalities()
    points = {"image": torch.tensor([3, 23]), "audio": torch.tensor([7]), "label": None}
    return model(inputs, subsampled_output_points=points, **ask)


def _without_parts(model: Any, ask: Ask) -> Any:
    return model(peers.noise(2, 11, SMALL["d_model"]), **ask)


MASKED = torch.ones(2, 25, dtype=torch.int64)
MASKED[0, :9] = 0

CASES = [
    Case(
        "PerceiverModel",
        "without_parts",
        WHAT,
        lambda c, config: c.PerceiverModel(config),
        _without_parts,
    ),
    Case(
        "PerceiverModel",
        "all_parts",
        WHAT,
        _assembled,
        _assembled_outputs,
        {**SMALL, "num_cross_attention_heads": 1},
    ),
    *(_text(name, odd) for name in peers.TEXT_MODELS for odd in ODD),
    *(_image(name, odd, 21, 33) for name in peers.IMAGE_MODELS for odd in ODD),
    *(_image(name, "plain", *s) for name in peers.IMAGE_MODELS for s in ((20, 20), (8, 9))),
    *(_with_labels(MLM, "bytes", return_dict) for return_dict in (True, False)),
    *(_with_labels(name, "classes", True) for name in (SEQUENCE, *peers.IMAGE_MODELS)),
    *(_with_labels(name, "classes", False) for name in (SEQUENCE, *peers.IMAGE_MODELS)),
    *(_with_labels(SEQUENCE, kind, True) for kind in ("regression", "several")),
    *(_flow(odd, odd, 5, 7) for odd in ODD),
    _flow("larger", "plain", 6, 9),
    _flow("turned", "plain", 7, 5),
    *(_multimodal(odd, odd) for odd in ODD),
    _multimodal("masked", mask=MASKED),
    _task(
        MULTIMODAL,
        "tuple",
        SMALL_MULTIMODAL,
        lambda model, _: model(clip(), subsampled_output_points=SOME, **TUPLE),
    ),
    _multimodal("other_sizes", inputs=clip(3, 12, 4, 60)),
    _task(MULTIMODAL, "everything", SMALL_MULTIMODAL, _everything),
]
