"""Starting weights of a masked-language Perceiver that knows from the first step where a byte is.

Every two bytes have a latent of their own, which looks at them and at three bytes on either side,
byte by byte; in the trunk it looks at the latents next to it; and the query of a byte reads the one
latent that stands for it. What is left to learn is English: with attention that has to be found, or
windows that lie between the bytes, a short run ends with a blur of frequent letters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from perceiver_core.attention import MultiHeadAttention
from perceiver_core.tasks import PerceiverForMaskedLM
from training.initialise import aim, sinusoids

STRIDE = 2  # bytes of a latent
NEIGHBOURS = (-2, -1, 1, 2)  # latents that the first heads of the trunk look at
PLACE = 96  # channels that tell where something is; the others tell what it is
NOWHERE = -8.0  # the last latent's place: heads for even bytes look there for odd ones, and so on
RATES = torch.exp(-torch.linspace(0.0, math.log(200.0), PLACE // 2)) * (math.pi / 2)
GAIN = 2.5


@torch.no_grad()
def align(model: PerceiverForMaskedLM) -> None:
    """Set who attends to whom; all else stays as `initialise.start` drew it."""
    perceiver: Any = model.perceiver  # whose parts are a task's own
    text, latents = perceiver.input_preprocessor, perceiver.embeddings.latents
    text.embeddings.weight[:, :PLACE] = 0
    positions = text.position_embeddings.weight
    positions[:, :PLACE] = sinusoids(torch.arange(len(positions)), RATES)
    positions[:, PLACE:] = 0
    places = torch.arange(len(latents)) * float(STRIDE)
    places[-1] = NOWHERE
    latents.normal_(0.0, 0.1)
    latents[:, :PLACE] = 2 * sinusoids(places, RATES)
    read, trunk = perceiver.encoder.cross_attention, perceiver.encoder.self_attends
    heads = read.attention.self.num_heads
    _aim(read.attention.self, {head: head - (heads - STRIDE) / 2 for head in range(heads)})
    for layer in trunk:
        _aim(layer.attention.self, {h: STRIDE * step for h, step in enumerate(NEIGHBOURS)})
    for layer in (read, *trunk):
        layer.attention.output.dense.weight[:PLACE] = 0
        layer.mlp.dense2.weight[:PLACE] = 0
    _ask_for_single_bytes(perceiver.decoder)


def _ask_for_single_bytes(decoder: Any) -> None:
    """The first half of the heads is for even bytes, the second for odd ones."""
    layer = decoder.decoding_cross_attention
    queries = decoder.output_position_encodings.position_embeddings
    places = torch.arange(len(queries))
    half = layer.attention.self.num_heads // STRIDE
    for part in range(STRIDE):
        asked = torch.where(places % STRIDE == part, places - part, NOWHERE)
        start = part * PLACE
        queries[:, start : start + PLACE] = sinusoids(asked, RATES)
        _aim(
            layer.attention.self, dict.fromkeys(range(part * half, part * half + half), 0.0), start
        )
    for dense in (layer.attention.output.dense, layer.mlp.dense2):
        dense.weight.mul_(0.2)  # or the first logits are in the tens


def _aim(attention: MultiHeadAttention, shifts: Mapping[int, float], query_start: int = 0) -> None:
    pairs = torch.linspace(0, PLACE // 2 - 1, attention.qk_per_head // 2).round().long()
    aim(attention, shifts, RATES, pairs, GAIN, query_start)
