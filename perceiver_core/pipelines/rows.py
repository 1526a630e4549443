"""Rows through a model: ragged inputs attended one by one, the trunk in one batch.

Batched work keeps the bits of a row the same whoever rides along: every matrix product sees at
least MIN_QUERIES rows per request, below which CPU kernels change their order of summation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from perceiver_core.decoders.multimodal import output_count
from perceiver_core.pipelines.base import Row
from perceiver_core.tasks.optical_flow import PIXELS, flow_patches

MIN_QUERIES = 4
QUERIES = 2**13  # decoded at once; so many keep a CPU busy, and bound the memory


def encode(model: Any, inputs: Iterable[Any]) -> Tensor:
    """Raw inputs, each a batch of one and of any length -> latents (B, N, D). Memory is that of
    one, but for the trunk."""
    perceiver = model.perceiver
    attended = [perceiver.attend(perceiver.preprocess(one).inputs) for one in inputs]
    latents: Tensor = perceiver.encoder.process(torch.cat(attended))
    return latents


def encode_rows(model: Any, inputs: list[NDArray[Any]]) -> Tensor:
    """Raw inputs without batch dimension, of any lengths -> latents (B, N, D)."""
    return encode(model, (torch.from_numpy(array)[None].to(model.device) for array in inputs))


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


def flow_rows(model: Any, rows: list[Row]) -> list[NDArray[Any]]:
    """Tiles to the flow that is wanted of them: rows and outputs as OpticalFlow's."""
    latents = encode(model, (_flow_patches(model, row["frames"]) for row in rows))
    return [_flow(model, z[None], row) for z, row in zip(latents, rows, strict=True)]


def _flow(model: Any, z: Tensor, row: Row) -> NDArray[Any]:
    """The wanted flow of a tile by its latents (1, N, D)."""
    y, x, high, wide, stride = row["wanted"].tolist()
    # Made anew: kept since the encoding they would take the memory of every tile of the batch.
    pixels = model.perceiver.preprocess(_flow_patches(model, row["frames"])).inputs[0]
    grid = pixels.unflatten(0, row["frames"].shape[1:3])
    queries = grid[y::stride, x::stride][:high, :wide].flatten(0, 1)
    flow = [model.perceiver.decode(z, some[None]).flatten(0, -2) for some in queries.split(QUERIES)]
    return to_numpy(torch.cat(flow)).reshape(high, wide, 2) * PIXELS


def _flow_patches(model: Any, tile: NDArray[Any]) -> Tensor:
    """(1, 2, 27, H, W) in [-1, 1]."""
    frames = torch.from_numpy(tile).to(model.device).movedim(-1, 1)[None]
    return flow_patches(frames.float() / 127.5 - 1)


def clip_rows(model: Any, rows: list[Row]) -> list[Row]:
    """Clips to what is wanted of them, each encoded once: rows and outputs as
    MultimodalAutoencoding's."""
    latents = encode(model, (_clip(model, row) for row in rows))
    return [
        {
            key: to_numpy(values) if values.is_floating_point() else values.cpu().numpy()
            for key, values in _clip_outputs(model, z[None], *row["wanted"]).items()
        }
        for z, row in zip(latents, rows, strict=True)
    ]


def _clip(model: Any, row: Row) -> dict[str, Tensor]:
    """A clip as the model's inputs."""
    frames = torch.tensor(row["video"], device=model.device)
    return {
        "image": frames.movedim(-1, 1)[None].float() / 255,
        "audio": torch.tensor(row["audio"], device=model.device)[None, :, None],
        "label": torch.zeros(1, model.config.num_labels, device=model.device),
    }


def _clip_outputs(
    model: Any, z: Tensor, label: bool, video: bool, audio: bool
) -> dict[str, Tensor]:
    """What is wanted of latents (1, N, D)."""
    found = {}
    if label:
        found["label"] = model.decode_modality(z, "label")[0]
    if video:
        pixels = _in_chunks(model, z, "image")
        shape = (*model.config.output_shape[1:], 3)
        found["video"] = (pixels * 255).round().clamp(0, 255).to(torch.uint8).reshape(shape)
        found["range"] = torch.stack(pixels.aminmax())  # which tells of NaN, as bytes cannot
    if audio:
        found["audio"] = _in_chunks(model, z, "audio")
    return found


def _in_chunks(model: Any, z: Tensor, name: str) -> Tensor:
    """All outputs of a modality of one clip, decoded a few at a time."""
    count = output_count(model.perceiver.decoder.modalities[name])
    points = torch.arange(count, device=z.device)
    return torch.cat([model.decode_modality(z, name, some)[0] for some in points.split(QUERIES)])


def to_numpy(tensor: Tensor) -> NDArray[Any]:
    """float32 on the CPU."""
    array: NDArray[Any] = tensor.float().cpu().numpy()
    return array
