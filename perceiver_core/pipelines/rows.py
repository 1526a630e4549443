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


def flow_rows(
    model: Any, tiles: list[NDArray[Any]], points: list[NDArray[Any]]
) -> list[NDArray[Any]]:
    """Tiles uint8 (2, H, W, 3) and flat indices (Q,) of their pixels -> flow float32 (Q, 2) in
    pixels, one tile after the other but for the trunk: memory is that of one tile."""
    from perceiver_core.tasks.optical_flow import PIXELS

    perceiver = model.perceiver
    attended = torch.cat([perceiver.attend(_flow_inputs(model, tile)) for tile in tiles])
    found = []
    for z, tile, wanted in zip(perceiver.encoder.process(attended), tiles, points, strict=True):
        index = torch.from_numpy(wanted).to(model.device)
        padding = index[-1:].expand(max(0, MIN_QUERIES - len(index)))
        queries = _flow_inputs(model, tile)[:, torch.cat([index, padding])]
        flow = perceiver.decode(z[None], queries).flatten(1, -2)
        found.append(to_numpy(flow[0, : len(index)]) * PIXELS)
    return found


def _flow_inputs(model: Any, tile: NDArray[Any]) -> Tensor:
    """The preprocessed pixels (1, H * W, C) of a tile."""
    from perceiver_core.tasks.optical_flow import flow_patches

    frames = torch.from_numpy(tile).to(model.device).movedim(-1, 1)[None]
    inputs: Tensor = model.perceiver.preprocess(flow_patches(frames.float() / 127.5 - 1)).inputs
    return inputs


def to_numpy(tensor: Tensor) -> NDArray[Any]:
    """float32 on the CPU."""
    array: NDArray[Any] = tensor.float().cpu().numpy()
    return array
