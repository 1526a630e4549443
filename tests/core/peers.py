"""Our models beside transformers' with the same random tensors."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import Tensor
from transformers.models.perceiver import modeling_perceiver as peer

from perceiver_core import tasks
from perceiver_core.config import PerceiverConfig
from tests.tiny import randomise

TEXT_MODELS = ("PerceiverForMaskedLM", "PerceiverForSequenceClassification")
IMAGE_MODELS = (
    "PerceiverForImageClassificationLearned",
    "PerceiverForImageClassificationFourier",
    "PerceiverForImageClassificationConvProcessing",
)


def deviation(ours: Tensor, theirs: Tensor) -> float:
    """max|a - b| / max|b|."""
    assert ours.shape == theirs.shape
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def peer_config(sizes: dict[str, Any]) -> Any:
    """transformers' configuration of the same sizes."""
    return transformers.PerceiverConfig(**sizes)


def pair(name: str, sizes: dict[str, Any], seed: int = 0) -> tuple[Any, Any]:
    """(ours, theirs) of a task class, every tensor random, in eval mode."""
    if "Fourier" in name and not sizes.get("qk_channels"):
        sizes = {**sizes, "num_cross_attention_heads": 1}  # 261 channels divide by 3, 9 … only
    theirs = getattr(peer, name)(peer_config(sizes)).eval()
    randomise(theirs, seed)
    with torch.device("meta"):
        ours = getattr(tasks, name)(PerceiverConfig(**sizes))
    ours.load_state_dict(theirs.state_dict(), assign=True)
    return ours.eval(), theirs


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


def assert_outputs_match(ours: Any, theirs: Any, bound: float) -> None:
    """Every output, intermediate states and attention maps included."""
    for key in theirs:
        expected, found = theirs[key], ours[key]
        if isinstance(expected, Tensor):
            assert deviation(found, expected) <= bound, key
            continue
        assert len(found) == len(expected), key
        for number, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert deviation(a, b) <= bound, f"{key}[{number}]"
