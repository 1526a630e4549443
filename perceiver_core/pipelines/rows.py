"""Rows through a model: ragged inputs attended one by one, the trunk in one batch.

Batched work keeps the bits of a row the same whoever rides along: every matrix product sees at
least MIN_QUERIES rows per request, below which CPU kernels change their order of summation.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

MIN_QUERIES = 4


def encode_rows(model: Any, inputs: list[NDArray[Any]]) -> Tensor:
    """Raw inputs without batch dimension, of any lengths -> latents (B, N, D)."""
    perceiver = model.perceiver
    attended = []
    for array in inputs:
        batch = torch.from_numpy(array)[None].to(model.device)
        attended.append(perceiver.attend(perceiver.preprocess(batch).inputs))
    latents: Tensor = perceiver.encoder.process(torch.cat(attended))
    return latents


def classify(model: Any, latents: Tensor) -> NDArray[Any]:
    """Latents (B, N, D) -> float32 logits (B, num_labels)."""
    query = model.perceiver.decoder.decoder_query(latents[:1])
    logits = model.perceiver.decode(latents, query.expand(-1, MIN_QUERIES, -1))
    return to_numpy(logits)


def decode_positions(model: Any, latents: Tensor, positions: NDArray[Any]) -> NDArray[Any]:
    """One row's latents (N, D) and its positions (Q,) -> float32 logits (Q, vocab)."""
    wanted = torch.from_numpy(positions).to(model.device)
    padding = wanted[-1:].expand(max(0, MIN_QUERIES - len(wanted)))
    logits = model.decode_at(latents[None], torch.cat([wanted, padding])[None])
    return to_numpy(logits[0, : len(wanted)])


def to_numpy(tensor: Tensor) -> NDArray[Any]:
    """float32 on the CPU."""
    array: NDArray[Any] = tensor.float().cpu().numpy()
    return array
