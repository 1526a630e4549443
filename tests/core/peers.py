"""Our classes beside transformers' with the same random tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers.models.perceiver import modeling_perceiver

import perceiver_core
from perceiver_core.checkpoint import Undrawn
from perceiver_core.config import PerceiverConfig
from tests.tiny import randomise

TEXT_MODELS = ("PerceiverForMaskedLM", "PerceiverForSequenceClassification")
IMAGE_MODELS = (
    "PerceiverForImageClassificationLearned",
    "PerceiverForImageClassificationFourier",
    "PerceiverForImageClassificationConvProcessing",
)

# Makes a module of one of the two libraries: (its classes by name, its configuration).
Build = Callable[[Any, Any], torch.nn.Module]


class _ProjectionDecoder(modeling_perceiver.PerceiverProjectionDecoder):  # type: ignore[misc]  # a peer's class is Any
    """Theirs cannot be constructed: it lacks an abstract property."""

    num_query_channels = 0


THEIRS = SimpleNamespace(
    **{**vars(modeling_perceiver), "PerceiverProjectionDecoder": _ProjectionDecoder}
)


def is_theirs(module: torch.nn.Module) -> bool:
    """Whether a module is the peer's."""
    return isinstance(module, modeling_perceiver.PerceiverPreTrainedModel)


def deviation(ours: Tensor, theirs: Tensor) -> float:
    """max|a - b| / max|b|; max|a| where b is all zeros."""
    assert ours.shape == theirs.shape
    largest = theirs.abs().max().item()
    return (ours - theirs).abs().max().item() / (largest or 1.0)


def deviations(ours: Any, theirs: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """(place, deviation) of every tensor in outputs of one structure, dicts and tuples of others;
    what is no tensor must be equal."""
    if isinstance(theirs, Tensor):
        yield place, deviation(ours, theirs)
    elif isinstance(theirs, Mapping):
        assert list(ours.keys()) == list(theirs.keys()), place
        for key in theirs:
            yield from deviations(ours[key], theirs[key], f"{place}.{key}")
    elif isinstance(theirs, tuple):
        assert len(ours) == len(theirs), place
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            yield from deviations(a, b, f"{place}[{number}]")
    else:
        assert ours == theirs, place


def assert_outputs_match(ours: Any, theirs: Any, bound: float) -> None:
    """Every output, intermediate states and attention maps included."""
    for place, found in deviations(ours, theirs):
        assert found <= bound, place


def by_modality(
    model: Any, inputs: dict[str, Tensor], subsampled_output_points: Mapping[str, Tensor | None]
) -> dict[str, Tensor]:
    """Logits of our multimodal model as its pipeline has them computed: one encoding, then each
    modality by itself, where `fast` folds projections that a call of the model does not."""
    latents = model.perceiver.encode(inputs)
    return {
        name: model.decode_modality(latents, name, points)
        for name, points in sorted(subsampled_output_points.items())
    }


def peer_config(sizes: dict[str, Any]) -> Any:
    """transformers' configuration of the same sizes."""
    return transformers.PerceiverConfig(**sizes)


def twins(build: Build, sizes: dict[str, Any], seed: int = 0) -> tuple[Any, Any]:
    """(ours, theirs), every tensor random and shared, in eval mode."""
    theirs = build(THEIRS, peer_config(sizes)).eval()
    randomise(theirs, seed)
    with torch.device("meta"), Undrawn():
        ours = build(perceiver_core, PerceiverConfig(**sizes))
    ours.load_state_dict(theirs.state_dict(), assign=True)
    return ours.eval(), theirs


def pair(name: str, sizes: dict[str, Any], seed: int = 0) -> tuple[Any, Any]:
    """`twins` of a task class."""
    if "Fourier" in name and not sizes.get("qk_channels"):
        sizes = {**sizes, "num_cross_attention_heads": 1}  # 261 channels divide by 3, 9 … only
    return twins(lambda classes, config: getattr(classes, name)(config), sizes, seed)


def text(length: int, batch: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random ids (B, M) and a mask with holes, a padded end and a row that is masked whole."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 262, (batch, length), generator=random)
    mask = torch.ones(batch, length, dtype=torch.int64)
    mask[0, length // 8 : length // 4] = 0
    if batch > 2:
        mask[1, length // 2 :] = 0
        mask[2] = 0
    return ids, mask


def image(height: int, width: int, batch: int = 2, seed: int = 0) -> Tensor:
    """Random pixels (B, 3, H, W)."""
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
