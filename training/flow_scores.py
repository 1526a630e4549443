"""How good a flow is: end-point errors where the truth is known, warp errors where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.pipelines.optical_flow import FramePair, OpticalFlow
from training.moving_pairs import sampled

Field = NDArray[np.float32]
KNOWN = ("motorcycle", "aloe")  # real pairs with a known flow
SEEN = ("rubberwhale", "bikes", "vtest")  # without


def flow_of(model: PreTrainedModel, frames: NDArray[np.uint8]) -> Field:
    """(2, H, W, 3) -> (H, W, 2) pixels, by the pipeline: tiles, blended."""
    pipeline = OpticalFlow(model.config, Path())
    with torch.inference_mode():
        return pipeline(model, FramePair(frames[0], frames[1])).flow


def end_point_errors(
    model: PreTrainedModel,
    synthetic: Sequence[tuple[Tensor, Tensor]],
    real: Mapping[str, NDArray[Any]],
) -> dict[str, float]:
    """Mean distance in pixels from the truth, of held-out synthetic pairs (frames (B, 2, 3, H, W)
    in [-1, 1], flow (B, H, W, 2)) and of the real ones; of zero flow, the best constant flow (the
    median), Farneback and DIS beside it."""
    pairs = {"synthetic": [pair for batch in synthetic for pair in _pairs(*batch)]}
    for name in KNOWN:
        pairs[name] = [(real[f"{name}_frames"], real[f"{name}_flow"])]
    scores = {}
    for name, ones in pairs.items():
        truths = [flow for _, flow in ones]
        guesses: dict[str, list[NDArray[Any]]] = {
            "": [flow_of(model, frames) for frames, _ in ones],
            "_zero": [np.zeros(2) for _ in ones],
            "_constant": [np.nanmedian(flow, axis=(0, 1)) for flow in truths],
            "_farneback": [farneback(frames) for frames, _ in ones],
            "_dis": [dis(frames) for frames, _ in ones],
        }
        for guess, flows in guesses.items():
            apart = [epe(flow, truth) for flow, truth in zip(flows, truths, strict=True)]
            scores[f"{name}_epe{guess}"] = float(np.mean(apart))
    return scores


def _pairs(frames: Tensor, flows: Tensor) -> list[tuple[NDArray[np.uint8], Field]]:
    pixels = ((frames.movedim(2, -1) + 1) * 127.5).round().to(torch.uint8).numpy()
    return list(zip(pixels, flows.numpy(), strict=True))


def epe(flow: NDArray[Any], truth: Field) -> float:
    """Mean distance of flow (H, W, 2), or one vector (2,), from the truth, where that is known."""
    cut = flow[: truth.shape[0], : truth.shape[1]] if flow.ndim == 3 else flow
    return float(np.nanmean(np.linalg.norm(cut - truth, axis=-1)))


def warp_errors(model: PreTrainedModel, real: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Mean difference in grey levels of the first frame and the second one brought back by the
    flow, of real pairs; of the second frame as it is beside it."""
    scores = {}
    for name in SEEN:
        frames = real[f"{name}_frames"]
        pairs = frames.reshape(-1, *frames.shape[-4:])
        flows = [flow_of(model, pair) for pair in pairs]
        moved = [warp_error(pair, flow) for pair, flow in zip(pairs, flows, strict=True)]
        scores[f"{name}_warp"] = float(np.mean(moved))
        unmoved = [warp_error(pair, np.zeros_like(flows[0])) for pair in pairs]
        scores[f"{name}_warp_zero"] = float(np.mean(unmoved))
    return scores


def warp_error(frames: NDArray[np.uint8], flow: Field) -> float:
    """Frames (2, H, W, 3) -> mean absolute difference, of 255, of the pixels that stay inside."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    places = np.stack([x, y], axis=-1) + flow
    edge = np.array([width - 1, height - 1], np.float32)
    points = torch.from_numpy(places - edge / 2).flatten(0, 1)[None]
    second = torch.from_numpy(frames[1]).movedim(-1, 0)[None]
    back = (sampled(second, points, "border")[0].T * 255).round().reshape(frames[0].shape)
    inside = ((places >= 0) & (places <= edge)).all(axis=-1)
    return float(np.abs(back.numpy() - frames[0])[inside].mean())


def farneback(frames: NDArray[np.uint8]) -> Field:
    """OpenCV's, five levels, windows of 15 pixels."""
    import cv2  # here: what scores our own flow needs none of it

    before, after = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)
    flow: Field = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 5, 15, 5, 7, 1.5, 0)
    return flow


def dis(frames: NDArray[np.uint8]) -> Field:
    """OpenCV's dense inverse search, its medium preset."""
    import cv2

    before, after = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow: Field = search.calc(before, after, None)
    return flow
